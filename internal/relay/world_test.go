// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	gitlabHost = "gitlab.example:80"
	noticeHost = "manager.example:80"
)

// world is an instance with a relay on it, a coordinator and a manager, in memory.
type world struct {
	t           *testing.T
	net         *memNet
	coordinator *fakeCoordinator
	handler     http.Handler // the coordinator, unless a test puts another there
	dir         string
	settings    map[string]any
	payload     string
	runnerTOML  string
	sub         func(*subRunner) error // what the sub-runner does
	startErr    error
	stop        chan os.Signal
	docker      Docker
	notices     []string
	log         *slog.Logger
	realProcess bool // with real sockets
}

func newWorld(t *testing.T, prefix string) *world {
	w := &world{
		t: t, net: newMemNet(), coordinator: newFakeCoordinator(prefix), dir: t.TempDir(), stop: make(chan os.Signal, 4),
		payload:    fmt.Sprintf(`{"id": %d, "token": %q, "runner_info": {"timeout": 3600}, "dependencies": null}`, testJob, testToken),
		runnerTOML: "[[runners]]\n  name = \"the runner\"\n  url = \"http://relay.invalid\"\n  token = \"" + standIn + "\"\n  executor = \"shell\"\n",
	}
	w.handler = w.coordinator
	w.settings = map[string]any{
		"version": 1, "coordinator": "http://gitlab.example", "job_id": testJob, "key": "hpd-job-abcdefghij-100001",
		"job_file": "job.json", "runner_file": "runner.toml", "runner_name": "the runner", "stand_in_token": standIn,
		"url_placeholder": "http://relay.invalid", "network_placeholder": "paas-relay-network-placeholder",
		"prefix_bytes": len(prefix), "prefix_crc32": fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(prefix))),
		"acquired_at": time.Now().Add(-42 * time.Second).UTC(), "timeout_seconds": 3600, "wait_timeout_seconds": 60,
		"sub_runner": []string{"gitlab-runner"}, "ca_file": "", "client_cert_file": "", "client_key_file": "",
		"notice": nil, "docker": map[string]string{"subnet": ""},
	}
	return w
}

// run writes the instance's files, as if it had just booted, and runs the relay.
func (w *world) run(ctx context.Context) (Outcome, error) {
	w.t.Helper()
	settings, err := json.Marshal(w.settings)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, text := range map[string]string{"relay.json": string(settings), "job.json": w.payload, "runner.toml": w.runnerTOML} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	defer w.serve(gitlabHost, w.handler)()
	defer w.serve(noticeHost, http.HandlerFunc(w.notice))()
	file := filepath.Join(w.dir, "relay.json")
	if w.realProcess {
		return Run(ctx, Config{File: file}, Deps{Stop: w.stop, Log: w.log})
	}
	return Run(ctx, Config{File: file}, Deps{
		Transport: w.net.transport("10.0.0.1"), Listen: w.net.listen, Start: w.start, Stop: w.stop,
		Env: []string{"PATH=/usr/bin"}, Docker: w.docker, Log: w.log, Version: "0.0.1",
	})
}

func (w *world) serve(address string, h http.Handler) (stop func()) {
	l, err := w.net.listen(address)
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	return func() { server.Close(); <-done }
}

func (w *world) notice(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.notices = append(w.notices, r.Header.Get("Authorization")+" "+string(body))
}

// start begins the test's sub-runner in place of a process.
func (w *world) start(ctx context.Context, c Command) (Process, error) {
	if w.startErr != nil {
		return nil, w.startErr
	}
	at := flag(c.Args, "--config")
	text, err := os.ReadFile(at)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &subRunner{
		t: w.t, ctx: ctx, command: c, config: string(text), signals: make(chan os.Signal, 4),
		url: key(string(text), "url"), token: key(string(text), "token"),
		client: &http.Client{Transport: w.net.transport("127.0.0.1")},
	}
	if h, _, err := net.SplitHostPort(strings.TrimPrefix(s.url, "http://")); err == nil {
		s.client.Transport = w.net.transport(h)
	}
	p := &fakeProcess{sub: s, kill: cancel, done: make(chan error, 1)}
	go func() {
		err := w.sub(s)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		p.done <- err
	}()
	return p, nil
}

func flag(args []string, name string) string {
	for i, a := range args {
		if a == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func key(toml, name string) string {
	found := regexp.MustCompile(`(?m)^\s*` + name + `\s*=\s*"([^"]*)"`).FindStringSubmatch(toml)
	if found == nil {
		return ""
	}
	return found[1]
}

type fakeProcess struct {
	sub  *subRunner
	kill context.CancelCauseFunc
	done chan error
}

func (p *fakeProcess) Wait() error { return <-p.done }

func (p *fakeProcess) Signal(s os.Signal) error {
	if s == os.Kill {
		p.kill(errors.New("signal: killed"))
		return nil
	}
	p.sub.signals <- s
	return nil
}

// ownLines gives what stands between the prefix and the sub-runner's bytes.
func ownLines(trace []byte, prefix string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(string(trace), prefix), "\n")
	return first + "\n"
}

func (w *world) logger() *slog.Logger {
	if w.log != nil {
		return w.log
	}
	return slog.New(slog.DiscardHandler)
}
