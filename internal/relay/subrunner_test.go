// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// subRunner is the sub-runner's side of the protocol, for tests to drive.
type subRunner struct {
	t       *testing.T
	ctx     context.Context
	command Command
	config  string
	url     string
	token   string
	client  *http.Client
	signals chan os.Signal
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

const subAgent = "gitlab-runner 17.9.0 (v17.9.0; go1.26.8; linux/amd64)"

func (s *subRunner) do(method, path string, header http.Header, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(s.ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", subAgent)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// ask asks for the job.
func (s *subRunner) ask(token string) (answer, error) {
	body := fmt.Sprintf(`{"info":{"name":"gitlab-runner"},"token":%q,"last_update":""}`, token)
	return s.do("POST", "/api/v4/jobs/request", http.Header{"Content-Type": {"application/json"}}, []byte(body))
}

func (s *subRunner) patch(offset int, data string) (answer, error) {
	return s.do("PATCH", fmt.Sprintf("/api/v4/jobs/%d/trace?debug_trace=false", testJob), http.Header{
		"Content-Type": {"text/plain"}, "Job-Token": {testToken},
		"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+len(data)-1)},
	}, []byte(data))
}

func (s *subRunner) put(state, trace string) (answer, error) {
	body, err := json.Marshal(map[string]any{
		"token": testToken, "state": state, "checksum": checksum(trace), "info": map[string]any{"name": "gitlab-runner"},
		"output": map[string]any{"checksum": checksum(trace), "bytesize": len(trace)},
	})
	if err != nil {
		return answer{}, err
	}
	return s.do("PUT", fmt.Sprintf("/api/v4/jobs/%d", testJob), http.Header{"Content-Type": {"application/json"}}, body)
}

func checksum(text string) string { return fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE([]byte(text))) }

var errAborted = errors.New("aborted")

// model is how gitlab-runner 17.9 sends a job's log and result: every three
// seconds while the job runs, with ten tries at the end.
type model struct {
	*subRunner
	trace string // written so far
	sent  int
}

// write runs the job for some time, during which it says something each second.
func (m *model) write(ticks int, line func(i int) string) error {
	for i := range ticks {
		time.Sleep(time.Second)
		m.trace += line(i)
		if i%3 == 2 {
			if _, err := m.send(); errors.Is(err, errAborted) {
				return err
			}
		}
	}
	return nil
}

// send sends one patch; ok means that it was taken, or its range corrected.
func (m *model) send() (ok bool, err error) {
	data := m.trace[m.sent:]
	if data == "" {
		return true, nil
	}
	a, err := m.patch(m.sent, data)
	if err != nil {
		return false, err
	}
	switch a.status {
	case http.StatusAccepted:
		m.sent += len(data)
		return true, nil
	case http.StatusRequestedRangeNotSatisfiable:
		m.sent, err = strconv.Atoi(strings.TrimPrefix(a.header.Get("Range"), "0-"))
		m.sent = min(m.sent, len(m.trace))
		return true, err
	case http.StatusForbidden:
		return false, errAborted
	}
	return false, nil
}

// finish sends the rest and the result; it gives up after ten failures.
func (m *model) finish(state string) error {
	failures, pause := 0, time.Second
	failed := func() error {
		if failures++; failures > 10 {
			return errors.New("retry limit reached")
		}
		time.Sleep(pause)
		pause *= 2
		return nil
	}
	for m.sent < len(m.trace) {
		if ok, err := m.send(); errors.Is(err, errAborted) {
			return err
		} else if !ok {
			if err := failed(); err != nil {
				return err
			}
		}
	}
	for {
		a, err := m.put(state, m.trace)
		switch {
		case err == nil && a.status == http.StatusOK:
			return nil
		case err == nil && a.status == http.StatusAccepted:
			seconds, _ := strconv.Atoi(a.header.Get("X-GitLab-Trace-Update-Interval"))
			time.Sleep(time.Duration(max(1, seconds)) * time.Second)
		case err == nil && a.status == http.StatusForbidden:
			return errAborted
		default:
			if err := failed(); err != nil {
				return err
			}
		}
	}
}

// begin takes the job.
func (s *subRunner) begin() (*model, error) {
	a, err := s.ask(s.token)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusCreated {
		return nil, fmt.Errorf("jobs/request: %d", a.status)
	}
	return &model{subRunner: s}, nil
}

// chunked sends a body of unknown length.
func (s *subRunner) chunked(method, path string, header http.Header, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(s.ctx, method, s.url+path, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return answer{}, err
	}
	request.Header = header
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}
