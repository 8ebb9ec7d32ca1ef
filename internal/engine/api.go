// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// callTimeout ends a call that hangs, waitTimeout one that waits for a container's end.
const (
	callTimeout = time.Minute
	waitTimeout = 5 * time.Minute
)

// ErrGone: the engine does not know the thing.
var ErrGone = errors.New("no such thing")

// Call makes one call of the engine's API, in the version that the engine likes best.
// in is sent as JSON, or as it is if it is an io.Reader (a tar); out is read as JSON,
// or gets the bytes if it is a *[]byte. Both may be nil.
func (e *Engine) Call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return e.do(ctx, method, path, in, out)
}

func (e *Engine) do(ctx context.Context, method, path string, in, out any) error {
	body, kind, err := encode(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := e.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, path, err)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w: %s", method, path, ErrGone, text)
	case answer.StatusCode >= 400:
		return fmt.Errorf("%s %s: %d: %s", method, path, answer.StatusCode, strings.TrimSpace(string(text)))
	}
	return decode(text, out)
}

func encode(in any) (body io.Reader, kind string, err error) {
	switch in := in.(type) {
	case nil:
		return nil, "", nil
	case io.Reader:
		return in, "application/x-tar", nil
	}
	text, err := json.Marshal(in)
	return bytes.NewReader(text), "application/json", err
}

func decode(text []byte, out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = text
		return nil
	}
	return json.Unmarshal(text, out)
}

// Must is Call where an error ends the test.
func (e *Engine) Must(t testing.TB, method, path string, in, out any) {
	t.Helper()
	if err := e.Call(context.Background(), method, path, in, out); err != nil {
		t.Fatal(err)
	}
}
