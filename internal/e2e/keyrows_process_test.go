// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

// processRow shows what a key does in a whole process.
type processRow struct {
	always  string // global lines of both runs
	with    string // the key
	see     func(n *town) string
	was, is string
}

// processRows are the keys that only a whole process shows. PORT is a free port.
func processRows() map[string]processRow {
	get := func(path string) func(*town) string {
		return func(n *town) string {
			for range 50 {
				answer, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://127.0.0.1:" + n.port + path)
				if err == nil {
					defer answer.Body.Close()
					return answer.Status
				}
				time.Sleep(20 * time.Millisecond)
			}
			return "nobody listens"
		}
	}
	first := func(n *town) string {
		n.says("recovered")
		text, _ := os.ReadFile(n.log.Name())
		if bytes.HasPrefix(text, []byte("{")) {
			return "json"
		}
		return "plain"
	}
	return map[string]processRow{
		"/listen_address":    {with: `listen_address = "127.0.0.1:PORT"`, see: get("/healthz"), was: "nobody listens", is: "200 OK"},
		"/paas_listen_token": {always: `listen_address = "127.0.0.1:PORT"`, with: `paas_listen_token = "a-token"`, see: get("/api/v1/status"), was: "200 OK", is: "401 Unauthorized"},
		"/log_format":        {with: `log_format = "json"`, see: first, was: "plain", is: "json"},
		"/log_level": {always: `listen_address = "127.0.0.1:PORT"`, with: `log_level = "warn"`, was: "told", is: "quiet", see: func(n *town) string {
			get("/healthz")(n)
			n.stop(syscall.SIGTERM)
			if text, _ := os.ReadFile(n.log.Name()); bytes.Contains(text, []byte("level=INFO")) {
				return "told"
			}
			return "quiet"
		}},
		"/paas_relay_path": {with: `paas_relay_path = "longer-relay"`, was: "the one beside the program", is: "the other", see: func(n *town) string {
			n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{"script": []string{"true"}}, nil)
			n.says("state=closed")
			var relay clever.Binary
			for _, app := range n.applications() {
				file, _ := app.Files["paas-relay"].(map[string]any)
				size, _ := file["size"].(float64)
				relay.Size = int(size)
			}
			if beside, err := os.Stat(filepath.Join(n.dir, "bin", "paas-relay")); err == nil && int(beside.Size()) == relay.Size {
				return "the one beside the program"
			}
			return "the other"
		}},
	}
}

func TestKeysOfTheProcess(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the programs and takes its time")
	}
	n := newTown(t)
	relay, err := os.ReadFile(filepath.Join(n.dir, "bin", "paas-relay"))
	if err == nil {
		err = os.WriteFile(filepath.Join(n.dir, "longer-relay"), append(relay, 0), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range processRows() {
		t.Run(strings.TrimPrefix(name, "/"), func(t *testing.T) {
			n.t = t
			for lines, want := range map[string]string{row.always: row.was, row.always + "\n" + row.with: row.is} {
				n.port = freePort(t)
				text := strings.ReplaceAll(lines, "PORT", n.port) + "\n" + string(base)
				if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				log, err := os.Create(filepath.Join(t.TempDir(), "service.log"))
				if err != nil {
					t.Fatal(err)
				}
				n.log = log
				n.startWith(n.config)
				if seen := row.see(n); seen != want {
					t.Errorf("with %q: %q, want %q", lines, seen, want)
				}
				n.stop(syscall.SIGTERM)
				log.Close()
			}
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
