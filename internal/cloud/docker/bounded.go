// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

const (
	// maxArchive limits what is read back of an instance, which its job may have changed,
	// and what a pull tells; maxAnswer limits every other answer.
	maxArchive = 256 << 20
	maxAnswer  = 16 << 20
	maxHeaders = 1 << 20
)

var errTooLarge = errors.New("the answer is too large")

// bounded ends answers that are too large: the client reads them whole.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	if strings.HasSuffix(r.URL.Path, "/archive") || strings.HasSuffix(r.URL.Path, "/images/create") {
		limit = maxArchive
	}
	answer.Body = &boundedBody{ReadCloser: answer.Body, left: limit}
	return answer, nil
}

// boundedBody reads so much and then fails.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return 0, errTooLarge
	}
	return n, err
}

// readMost reads a file of an archive, whose own idea of its size counts for nothing:
// a few bytes can describe a file full of holes.
func readMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}
