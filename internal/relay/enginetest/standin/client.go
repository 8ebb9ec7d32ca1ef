// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const callTimeout = time.Minute

// client calls the coordinator, or whoever answers for it.
type client struct {
	base string
	http *http.Client
}

func newClient(url string) *client {
	return &client{base: strings.TrimRight(url, "/") + "/api/v4/", http: &http.Client{Timeout: callTimeout}}
}

// call makes one call; status 0 means no answer.
func (c *client) call(ctx context.Context, method, path string, header map[string]string, body []byte) (status int, h http.Header, text []byte) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, []byte(err.Error())
	}
	request.Header.Set("User-Agent", "gitlab-runner 17.9.0 (stand-in; linux/amd64)")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, nil, []byte(err.Error())
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil, []byte(err.Error())
	}
	return answer.StatusCode, answer.Header, text
}

func (c *client) request(ctx context.Context, token string) (*payload, int) {
	body := []byte(`{"token":` + strconv.Quote(token) + `,"info":{"name":"gitlab-runner","executor":"docker"}}`)
	header := map[string]string{"Content-Type": "application/json", "Private-Token": token}
	status, _, text := c.call(ctx, http.MethodPost, "jobs/request", header, body)
	if status != http.StatusCreated {
		return nil, status
	}
	var p payload
	if json.Unmarshal(text, &p) != nil {
		return nil, 0
	}
	return &p, status
}

// report sends a job's trace and its end.
type report struct {
	c     *client
	p     *payload
	trace []byte
	sent  int
	stop  func() // ends the job, when the coordinator says so
}

// flush sends what is new, in one piece: jobs here say little.
func (r *report) flush(ctx context.Context) {
	if r.sent == len(r.trace) {
		return
	}
	part := r.trace[r.sent:]
	status, header, _ := r.c.call(ctx, http.MethodPatch, fmt.Sprintf("jobs/%d/trace?debug_trace=false", r.p.ID), map[string]string{
		"Content-Type": "text/plain", "Job-Token": r.p.Token,
		"Content-Range": fmt.Sprintf("%d-%d", r.sent, len(r.trace)-1),
	}, part)
	switch _, size, _ := strings.Cut(header.Get("Range"), "-"); status {
	case http.StatusAccepted:
		r.sent = len(r.trace)
	case http.StatusRequestedRangeNotSatisfiable:
		if n, err := strconv.Atoi(size); err == nil {
			r.sent = min(n, len(r.trace)) // gitlab-runner loses its own bytes here, too
		}
	case http.StatusForbidden:
		r.stop()
	}
	if s := header.Get("Job-Status"); s == "canceling" || s == "canceled" || s == "failed" {
		r.stop()
	}
}

const finalTries = 10

// end sends the rest of the trace and the final update.
func (r *report) end(ctx context.Context, state, reason string, code int, log io.Writer) {
	for try := range finalTries {
		r.flush(ctx)
		body, err := json.Marshal(map[string]any{
			"token": r.p.Token, "state": state, "failure_reason": reason, "exit_code": code,
			"checksum": fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE(r.trace)),
			"output":   map[string]any{"checksum": fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE(r.trace)), "bytesize": len(r.trace)},
		})
		if err != nil {
			fmt.Fprintln(log, "ERROR:", err)
			return
		}
		header := map[string]string{"Content-Type": "application/json", "Private-Token": r.p.Token}
		status, _, _ := r.c.call(ctx, http.MethodPut, fmt.Sprintf("jobs/%d", r.p.ID), header, body)
		fmt.Fprintln(log, "Updating job...", status)
		if status == http.StatusOK || status == http.StatusForbidden || status == http.StatusNotFound {
			return
		}
		sleep(ctx, time.Duration(try+1)*time.Second)
	}
}
