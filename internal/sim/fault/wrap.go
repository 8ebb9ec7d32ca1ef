// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// Wrap serves the control endpoints of the panel, lets faults strike, and passes
// everything else on to a server. Requests below /_sim/ are neither struck nor recorded.
func (p *Panel) Wrap(next http.Handler) http.Handler {
	control := p.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/_sim/faults" || r.URL.Path == "/_sim/requests":
			control.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/_sim/"):
			next.ServeHTTP(w, r)
		default:
			p.serve(w, r, next)
		}
	})
}

// serve performs one recorded request, or whatever its fault wants instead.
func (p *Panel) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	struck := p.strike(r)
	entry := p.record(r, struck)
	seen := &watched{ResponseWriter: w}
	defer func() { p.answered(entry, seen.status) }()
	if struck == nil {
		seen.perform(next, r)
		return
	}
	if !wait(r, struck.delay) {
		cutConnection(w)
	}
	switch f := struck.fault; {
	case f.Status != 0:
		answer(seen, f)
	case f.Drop == dropBefore:
		cutConnection(w)
	case f.Drop == dropAfter:
		seen.ResponseWriter = &discard{header: http.Header{}}
		seen.perform(next, r)
		cutConnection(w)
	default:
		seen.perform(next, r)
	}
}

// answer gives the answer of a fault.
func answer(w http.ResponseWriter, f Fault) {
	for k, v := range f.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, f.Body) // the client may be gone
}

// wait waits out a delay and tells whether the client is still there.
func wait(r *http.Request, delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// cutConnection ends a request without an answer. It does not return.
func cutConnection(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close() // the client is to see it gone, however
	}
	// Without a connection to take (HTTP/2), this is how a handler asks to cut it;
	// after a hijack it only ends the handler.
	panic(http.ErrAbortHandler)
}

// watched remembers the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
}

// perform lets the server answer. A handler that writes nothing has answered 200; one
// that panics has not answered.
func (w *watched) perform(next http.Handler, r *http.Request) {
	next.ServeHTTP(w, r)
	if w.status == 0 {
		w.status = http.StatusOK
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (w *watched) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a writer that can't flush has nothing to flush
}

// Unwrap serves http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard takes an answer that nobody will see.
type discard struct{ header http.Header }

// Header implements http.ResponseWriter.
func (d *discard) Header() http.Header { return d.header }

// Write implements http.ResponseWriter.
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (d *discard) WriteHeader(int) {}
