// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"net/http"
	"testing"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// Whatever a client sends, it gets an answer that blames the client.
func FuzzCalls(f *testing.F) {
	calls := []struct{ method, path string }{
		{"POST", "/_sim/jobs"}, {"PUT", "/_sim/groups/a/attributes"}, {"POST", "/_sim/faults"},
		{"POST", "/api/v4/runners"}, {"POST", request}, {"PUT", "/api/v4/jobs/100001"},
		{"PATCH", "/api/v4/jobs/100001/trace"}, {"POST", "/api/v4/jobs/100001/artifacts"},
		{"POST", "/sim/demo.git/git-upload-pack"},
	}
	for i, body := range []string{
		`{"script":["x"],"image":"i","services":[{"name":"s"}],"variables":{"A":{"value":"b"}},"timeout":"1m","virtual_seconds":1e99}`,
		`{"a":"b"}`, `{"match":"GET /x","status":503}`, `{"token":"sim-registration-token","tag_list":"a,b"}`,
		graceful, `{"state":"failed","exit_code":-1}`, "trace", "--b\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\nzip\r\n--b--",
		"0032want 0000000000000000000000000000000000000000\n0000",
	} {
		f.Add(i, body, "0-3")
	}
	f.Fuzz(func(t *testing.T, which int, body, header string) {
		b := newBench(t, gitlab.Config{LongPoll: -1})
		g := b.running(`{"script":["true"],"git":true}`)
		call := calls[uint(which)%uint(len(calls))]
		headers := []string{"Content-Range", header, "Content-Type", "multipart/form-data; boundary=b"}
		if call.path[0:5] == "/sim/" {
			headers = append(headers, "Authorization", basic(g.Token))
		} else {
			headers = append(headers, "Job-Token", g.Token)
		}
		if w := b.call(call.method, call.path, body, headers...); w.Code < 200 || w.Code >= http.StatusInternalServerError {
			t.Errorf("%s %s is answered %d %s", call.method, call.path, w.Code, w.Body)
		}
	})
}
