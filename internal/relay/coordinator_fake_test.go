// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	testJob   = 100001
	testToken = "glcbt-64_job-token-of-the-test"
	standIn   = "glrt-abcdstand-in-of-the-test"
)

// fakeCoordinator is a coordinator for one job, with a real one's rules for the
// trace and for updates.
type fakeCoordinator struct {
	mu       sync.Mutex
	id       int64
	status   string
	trace    []byte
	finals   []map[string]any
	checks   []string // what was wrong with a checksum or size
	agents   map[string]int
	requests []string // METHOD path?query range
	// script, when it says true, has answered in the coordinator's place.
	script func(w http.ResponseWriter, r *http.Request, body []byte) bool
	// after is called when an answer is about to be given; true drops it.
	lose func(r *http.Request) bool
}

func newFakeCoordinator(prefix string) *fakeCoordinator {
	return &fakeCoordinator{id: testJob, status: "running", trace: []byte(prefix), agents: map[string]int{}}
}

func (f *fakeCoordinator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.agents[r.Header.Get("User-Agent")]++
	f.requests = append(f.requests, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Range")))
	if f.script != nil && f.script(w, r, body) {
		return
	}
	path := fmt.Sprintf("/api/v4/jobs/%d", f.id)
	switch r.Method + " " + r.URL.Path {
	case "PATCH " + path + "/trace":
		f.patch(w, r, body)
	case "PUT " + path:
		f.put(w, r, body)
	case "GET /api/v4/job":
		f.job(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeCoordinator) running() bool { return f.status == "running" || f.status == "canceling" }

func (f *fakeCoordinator) patch(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Job-Status", f.status)
	if r.Header.Get("Job-Token") != testToken || !f.running() {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	start, _, _ := strings.Cut(r.Header.Get("Content-Range"), "-")
	offset, err := strconv.Atoi(start)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if offset != len(f.trace) {
		w.Header().Del("Job-Status")
		w.Header().Set("Range", fmt.Sprintf("0-%d", len(f.trace)))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	f.trace = append(f.trace, body...)
	if f.lose != nil && f.lose(r) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Range", fmt.Sprintf("0-%d", len(f.trace)))
	w.Header().Set("X-GitLab-Trace-Update-Interval", "3")
	w.WriteHeader(http.StatusAccepted)
}

func (f *fakeCoordinator) put(w http.ResponseWriter, r *http.Request, body []byte) {
	var u map[string]any
	if json.Unmarshal(body, &u) != nil || u["token"] != testToken {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if !f.running() {
		w.Header().Set("Job-Status", f.status)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if state := u["state"]; state == "success" || state == "failed" {
		f.finals = append(f.finals, u)
		f.check(u)
		if f.status == "canceling" {
			state = "canceled"
		}
		f.status = state.(string)
	}
	if f.lose != nil && f.lose(r) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Job-Status", f.status)
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, "200")
}

// check compares a checksum and size, where there are any, with the trace.
func (f *fakeCoordinator) check(u map[string]any) {
	want := fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE(f.trace))
	output, _ := u["output"].(map[string]any)
	for _, got := range []any{u["checksum"], output["checksum"]} {
		if got != nil && got != want {
			f.checks = append(f.checks, fmt.Sprintf("checksum %v, want %s", got, want))
		}
	}
	if size, ok := output["bytesize"].(float64); ok && int(size) != len(f.trace) {
		f.checks = append(f.checks, fmt.Sprintf("bytesize %v, want %d", size, len(f.trace)))
	}
}

func (f *fakeCoordinator) job(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Job-Token") != testToken || !f.running() {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%d,"status":%q}`, f.id, f.status)
}
