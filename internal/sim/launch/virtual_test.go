// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/launch"
	"heptapod-paas-runner/internal/sim/memnet"
)

const coordinator = "http://gitlab.test"

// stage is a coordinator with one acquired job, in simulated time.
type stage struct {
	t       *testing.T
	s       *gitlab.Server
	net     *memnet.Network
	id      int64
	payload []byte
	token   string
	events  []string
}

func onStage(t *testing.T, seconds float64, f func(*stage)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &stage{t: t, s: gitlab.New(gitlab.Config{URL: coordinator, LongPoll: -1}), net: memnet.New(memnet.Config{})}
		defer g.net.Close()
		for host, handler := range map[string]http.Handler{"gitlab.test": g.s, "manager.test": http.HandlerFunc(g.notice)} {
			l, err := g.net.Listen(host)
			if err != nil {
				t.Fatal(err)
			}
			web := &http.Server{Handler: handler}
			go func() { _ = web.Serve(l) }()
			defer web.Close()
		}
		var err error
		if g.id, err = g.s.Queue(gitlab.Spec{Script: []string{"echo hello"}, VirtualSeconds: &seconds}); err != nil {
			t.Fatal(err)
		}
		g.payload = g.call(http.MethodPost, "/api/v4/jobs/request", `{"token":"`+gitlab.RunnerToken+`","info":{"features":{"cancel_gracefully":true}}}`, http.Header{})
		var p struct{ Token string }
		if err := json.Unmarshal(g.payload, &p); err != nil {
			t.Fatal(err)
		}
		g.token = p.Token
		f(g)
	})
}

func (g *stage) notice(_ http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	g.events = append(g.events, r.Header.Get("Authorization")+" "+string(raw))
}

func (g *stage) call(method, path, body string, header http.Header) []byte {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, coordinator+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header = header
	resp, err := g.net.Transport().RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		g.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, raw, err)
	}
	return raw
}

func TestVirtualRelayGoesOnBehindThePrefix(t *testing.T) {
	onStage(t, 50, func(g *stage) {
		prefix := "waiting\n"
		g.call(http.MethodPatch, fmt.Sprintf("/api/v4/jobs/%d/trace", g.id), prefix,
			http.Header{"Job-Token": {g.token}, "Content-Range": {fmt.Sprintf("0-%d", len(prefix)-1)}})
		relay := fmt.Sprintf(`{"version":1,"coordinator":%q,"job_id":%d,"key":"k","job_file":"job.json","runner_name":"lab","stand_in_token":"sim-runneXYZ",
			"prefix_bytes":%d,"prefix_crc32":"%08x","notice":{"url":"http://manager.test/api/v1/notice","bearer":"b"}}`,
			coordinator, g.id, len(prefix), crc32.ChecksumIEEE([]byte(prefix)))
		start := time.Now()
		err := launch.NewVirtual(g.net.Transport()).Launch(g.t.Context(), clever.Task{
			Name: "one", Argv: []string{"/usr/local/bin/paas-relay", "/etc/h/relay.json"}, Log: io.Discard,
			Files: map[string][]byte{"/etc/h/relay.json": []byte(relay), "/etc/h/job.json": g.payload},
		})
		j, _ := g.s.Job(g.id)
		if took := time.Since(start); err != nil || took < 50*time.Second || took > 52*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if j.Status != "success" || !strings.HasPrefix(j.Trace, prefix+"\x1b[0KRunning with") {
			t.Errorf("%s:\n%s", j.Status, j.Trace)
		}
		want := `Bearer b {"event":"booted","key":"k"}|Bearer b {"event":"handed_out","key":"k"}|Bearer b {"event":"finished","key":"k"}`
		if got := strings.Join(g.events, "|"); got != want {
			t.Errorf("notices %s", got)
		}
	})
}

func TestVirtualFetchedJob(t *testing.T) {
	onStage(t, 5, func(g *stage) {
		config := "[[runners]]\nname = \"lab\"\nurl = \"" + coordinator + "\"\ntoken = \"stand-in\"\nexecutor = \"docker\"\n"
		err := launch.NewVirtual(g.net.Transport()).Launch(g.t.Context(), clever.Task{
			Name: "one", Argv: []string{"/usr/bin/gitlab-runner", "exec-fetched-job", "--config", "/etc/h/runner.toml", "/etc/h/job.json"}, Log: io.Discard,
			Files: map[string][]byte{"/etc/h/runner.toml": []byte(config), "/etc/h/job.json": g.payload},
		})
		if j, _ := g.s.Job(g.id); err != nil || j.Status != "success" || !strings.Contains(j.Trace, "hello\n") {
			t.Errorf("%v, %s:\n%s", err, j.Status, j.Trace)
		}
	})
}

func TestVirtualRefusesWhatItCannotPlay(t *testing.T) {
	t.Parallel()
	v := launch.NewVirtual(nil)
	for _, task := range []clever.Task{
		{Argv: []string{"/bin/true"}},
		{Argv: []string{"x", "/relay.json"}},
		{Argv: []string{"x", "/relay.json"}, Files: map[string][]byte{"/relay.json": []byte(`{"prefix_crc32":"xyz"}`)}},
		{Argv: []string{"x", "exec-fetched-job", "--config", "/c", "/job.json"}, Files: map[string][]byte{"/c": []byte("")}},
	} {
		if err := v.Launch(t.Context(), task); err == nil {
			t.Errorf("%q was played", task.Argv)
		}
	}
}
