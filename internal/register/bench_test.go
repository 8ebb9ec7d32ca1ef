// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/register"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// bench is a coordinator, a folder, and somebody who registers.
type bench struct {
	t    *testing.T
	sim  *gitlab.Server
	url  string
	dir  string
	file string // of the configuration; not there yet
	env  map[string]string
	// before sees every call before the simulator does, and may answer it.
	before  func(w http.ResponseWriter, r *http.Request) (answered bool)
	timeout time.Duration
	mu      sync.Mutex
	calls   []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, dir: dir, file: filepath.Join(dir, "paas.toml"), env: map[string]string{}, timeout: 5 * time.Second}
	b.sim = gitlab.New(gitlab.Config{Seed: 1})
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/_sim/") && r.Header.Get("Private-Token") == "" {
		b.mu.Lock()
		b.calls = append(b.calls, r.Method+" "+r.URL.Path)
		b.mu.Unlock()
		if b.before != nil && b.before(w, r) {
			return
		}
	}
	b.sim.ServeHTTP(w, r)
}

// outcome is how a registration went.
type outcome struct {
	code     int
	err      error
	out, say string
}

// run registers; lines are typed where something is asked.
func (b *bench) run(o register.Options, lines ...string) outcome {
	b.t.Helper()
	return b.runContext(b.t.Context(), o, lines...)
}

func (b *bench) runContext(ctx context.Context, o register.Options, lines ...string) outcome {
	b.t.Helper()
	in, typing, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer in.Close()
	go func() {
		for _, line := range lines {
			_, _ = io.WriteString(typing, line+"\n")
		}
		_ = typing.Close()
	}()
	if o.File == "" && len(o.Config) == 0 {
		o.File = b.file
	}
	var out, say lockedText
	err = register.New(register.Deps{
		Console: register.NewConsole(in, &say), Out: &out, Random: zeros{},
		Env: func(name string) (string, bool) { value, ok := b.env[name]; return value, ok },
		Log: slog.New(slog.DiscardHandler),
	}, register.Config{Options: o, Program: "register", Version: "1.2.3", CallTimeout: b.timeout}).Run(ctx)
	return outcome{register.ExitCode(err), err, out.String(), say.String()}
}

// zeros is as random as a test needs it.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// lockedText can be written while somebody else writes.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fault makes the simulator answer the next such call in this way.
func (b *bench) fault(fault map[string]any) {
	b.t.Helper()
	raw, err := json.Marshal(fault)
	if err != nil {
		b.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	b.sim.ServeHTTP(w, httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "/_sim/faults", strings.NewReader(string(raw))))
	if w.Code != http.StatusCreated {
		b.t.Fatalf("fault: %d %s", w.Code, w.Body)
	}
}

// ask reads from the simulator as its administrator.
func (b *bench) ask(path string, into any) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Private-Token", gitlab.AdminToken)
	w := httptest.NewRecorder()
	b.sim.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil || w.Code != http.StatusOK {
		b.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}

// runners are the descriptions of those that the coordinator knows, but for the one that
// is always there.
func (b *bench) runners() []string {
	b.t.Helper()
	var list []struct{ Description string }
	b.ask("/api/v4/runners/all", &list)
	var out []string
	for _, r := range list[1:] {
		out = append(out, r.Description)
	}
	return out
}

// called tells which calls were made.
func (b *bench) called() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.calls, ", ")
}

// load reads the configuration, which has to be good.
func (b *bench) load() *config.Config {
	b.t.Helper()
	cfg, err := config.Load(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	return cfg
}

func (b *bench) text() string {
	b.t.Helper()
	raw, err := os.ReadFile(b.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(raw)
}

// write makes the configuration.
func (b *bench) write(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// good wants that a registration went well.
func (b *bench) good(got outcome) {
	b.t.Helper()
	if got.code != 0 {
		b.t.Fatalf("ended with %d: %v\n%s", got.code, got.err, got.say)
	}
}

// refused wants that a registration ended with a code and a text, and left nothing.
func (b *bench) refused(name string, got outcome, code int, says ...string) {
	b.t.Helper()
	for _, text := range says {
		if got.code != code || !strings.Contains(got.err.Error(), text) {
			b.t.Errorf("%s: ended with %d: %v\nwant %d: %s", name, got.code, got.err, code, text)
		}
	}
	if left := b.runners(); len(left) > 0 {
		b.t.Errorf("%s: left at the coordinator: %v", name, left)
	}
	if strings.Contains(got.out, "stands in") {
		b.t.Errorf("%s: claims success: %s", name, got.out)
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".register") {
			b.t.Errorf("%s: left behind: %s", name, e.Name())
		}
	}
}

func yes(b bool) *bool { return &b }

// newFile is all that a new file with local-docker needs.
func (b *bench) newFile() register.Options {
	return register.Options{
		NonInteractive: yes(true), URL: b.url, RegistrationToken: secret.New(gitlab.RegistrationToken), Name: "one",
		Executor: "local-docker", StateFilePath: "state.db", MaxConcurrency: "4",
	}
}

// valid is a file to which a runner can be added.
const valid = `# mine
state_file = "state.db"
[quota_computation]
  reference_runner = "old"
  reference_flavor = "M"
  reference_jobs_count = 8
[[runners]]
  name = "old"   # the first one
  url = "https://old.example.com"
  token = "glrt-old"
  executor = "local-docker"
`
