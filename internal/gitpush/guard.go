// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	advertisedLimit = 1 << 20
	reportLimit     = 1 << 20
)

var errTooLarge = errors.New("the answer is too large")

// guard stands between go-git and the network. go-git reads error bodies without a
// bound, drops the cause of a network error and never looks at the content type;
// here the answers are bounded and checked, and what went wrong is remembered.
type guard struct {
	base        http.RoundTripper
	service     string // "git-receive-pack" or "git-upload-pack"
	resultLimit int64

	mu   sync.Mutex
	sent bool // a POST's body has begun to leave
	err  error
}

func newGuard(base http.RoundTripper, service string, resultLimit int64) *guard {
	return &guard{base: base, service: service, resultLimit: resultLimit}
}

// statusError is an HTTP answer that is not 2xx. Its body is never read: it may be of
// any size and hold anything.
type statusError struct {
	status     int
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
}

// notGitError is an answer that no git server gives: a proxy's or a portal's page.
type notGitError struct{ contentType string }

func (e *notGitError) Error() string {
	return fmt.Sprintf("the answer is not git's: content type %q", e.contentType)
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(request *http.Request) (*http.Response, error) {
	kind, limit := "advertisement", int64(advertisedLimit)
	if request.Method == http.MethodPost {
		kind, limit = "result", g.resultLimit
		request = g.watch(request)
	}
	response, err := g.base.RoundTrip(request)
	if err != nil {
		return nil, g.fail(err)
	}
	if err := g.check(response, kind); err != nil {
		_ = response.Body.Close()
		return nil, g.fail(err)
	}
	response.Body = &boundedBody{ReadCloser: response.Body, left: limit, fail: g.fail}
	return response, nil
}

func (g *guard) check(response *http.Response, kind string) error {
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return &statusError{status: response.StatusCode, retryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	}
	given := response.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(given)
	if err != nil || mediaType != "application/x-"+g.service+"-"+kind {
		return &notGitError{contentType: given[:min(len(given), 80)]}
	}
	return nil
}

// watch notes when the body of a POST begins to leave: from then on only a report
// can tell what happened.
func (g *guard) watch(request *http.Request) *http.Request {
	watched := request.Clone(request.Context())
	if request.Body != nil {
		watched.Body = &watchedBody{ReadCloser: request.Body, guard: g}
	}
	if request.GetBody != nil {
		watched.GetBody = func() (io.ReadCloser, error) {
			body, err := request.GetBody()
			return &watchedBody{ReadCloser: body, guard: g}, err
		}
	}
	return watched
}

// fail remembers the first error and gives it back.
func (g *guard) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return err
}

func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *guard) packLeft() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sent && g.service == "git-receive-pack"
}

type watchedBody struct {
	io.ReadCloser
	guard *guard
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.guard.mu.Lock()
	b.guard.sent = true
	b.guard.mu.Unlock()
	return b.ReadCloser.Read(p)
}

// boundedBody reads at most left bytes and remembers a broken connection.
type boundedBody struct {
	io.ReadCloser
	left int64
	fail func(error) error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.fail(errTooLarge)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.fail(errTooLarge)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fail(err)
	}
	return n, err
}

// retryAfter reads the header's two forms: seconds and an HTTP date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), 24*3600)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), 24*time.Hour)
	}
	return 0
}
