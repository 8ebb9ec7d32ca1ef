// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// TestMain lets more tests run at a time than there are processors: they wait for
// containers, most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// statusAddress is where the service listens, on the engine's host.
const statusAddress = "127.0.0.1:8097"

// town is an engine, two coordinators on its host, and the service, which lives on that
// host, too.
type town struct {
	*engine.Engine
	t       *testing.T
	dir     string
	program string
	host    string // the engine, as the service is told
	places  []*place
	env     []string // of the service
	before  []string // what is on the engine and not ours

	mu      sync.Mutex
	log     *os.File
	service *exec.Cmd
	stops   map[string]*stop
}

// place is a coordinator with one runner.
type place struct {
	*town
	mode   string // of the sub-runner
	gitlab *gitlab.Server
	url    string
	token  string
}

// newTown makes one. The service is told of the engine's socket, or of what gate makes.
func newTown(t *testing.T, o engine.Options, gate func(*town) string) *town {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	n := &town{t: t, dir: t.TempDir(), stops: map[string]*stop{}, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"}}
	const module = "heptapod-paas-runner/"
	n.program = engine.Build(t, module+"cmd/heptapod-paas-runner")
	relay := engine.Build(t, module+"cmd/paas-relay")
	if err := os.Rename(relay, filepath.Join(filepath.Dir(n.program), "paas-relay")); err != nil {
		t.Fatal(err)
	}
	runner := engine.Build(t, module+"internal/relay/enginetest/standin")
	n.Engine = engine.Start(t, o)
	n.host = "unix://" + n.Socket
	if gate != nil {
		n.host = gate(n)
	}
	box := engine.Busybox(t)
	with := func(files ...engine.File) []engine.File { return slices.Concat(box, files) }
	const path = `ENV PATH=/usr/local/bin:/usr/bin:/bin`
	n.Import(t, "runner:1", with(engine.File{Path: "/usr/bin/gitlab-runner", From: runner}), path)
	n.Import(t, "helper:1", with(engine.File{Path: "/usr/bin/gitlab-runner-helper", From: runner}), path)
	n.Import(t, "job:1", box, path)
	n.Import(t, "group/web:1", with(engine.File{Path: "/www/index.html", Data: "hello from the service\n", Mode: 0o644}),
		path, `CMD ["httpd", "-f", "-p", "80", "-h", "/www"]`, `EXPOSE 80`)
	for _, mode := range []string{"relay", "exec-fetched-job"} {
		n.addPlace(mode)
	}
	n.others()
	n.before = n.names()
	n.configure()
	t.Cleanup(func() { n.stopService(syscall.SIGKILL); n.log.Close() })
	n.startService()
	return n
}

// addPlace starts a coordinator that everything on the engine and its host reaches.
func (n *town) addPlace(mode string) {
	l := n.Listen(n.t)
	p := &place{town: n, mode: mode, url: "http://" + l.Addr().String(), token: "glrt-" + strings.Repeat(mode[:1], 9) + "SECRETSECRET"}
	p.gitlab = gitlab.New(gitlab.Config{URL: p.url})
	server := &http.Server{Handler: p}
	server.SetKeepAlivesEnabled(false) // each call finds its way anew
	go server.Serve(l)
	n.t.Cleanup(func() { server.Close() })
	n.places = append(n.places, p)
}

func (n *town) configure() {
	text := fmt.Sprintf(`state_file = %q
listen_address = %q
check_interval = 0.3
[quota_computation]
  reference_runner = "relay"
  reference_flavor = "M"
  reference_jobs_count = 20
`, filepath.Join(n.dir, "state", "state.db"), statusAddress)
	for _, p := range n.places {
		text += fmt.Sprintf(`[[runners]]
  name = %q
  url = %q
  token = %q
  executor = "local-docker"
  host = %q
  sub_runner = %q
  heptapod_runner_main_image = "runner:1"
  paas_docker_pull_policy = "never"
  paas_dependency_proxy = false
  [runners.paas_docker_flavors.M]
    weight = 1
  [runners.paas_docker_flavors.L]
    weight = 2
    cpus = 0.5
    memory = "96m"
    cgroup_parent = %q
  [runners.docker]
    image = "job:1"
    helper_image = "helper:1"
    pull_policy = "never"
    memory = "1g"
    host = "tcp://127.0.0.1:1"
    volumes = ["/cache", "kept:/kept"]
  [runners.job_trace_watch]
    poll_step = 0.3
    timeout_seconds = 120
`, p.mode, p.url, p.token, n.host, p.mode, n.large())
	}
	if err := os.WriteFile(filepath.Join(n.dir, "paas.toml"), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.makeState()
	var err error
	if n.log, err = os.Create(filepath.Join(n.dir, "log")); err != nil {
		n.t.Fatal(err)
	}
}

// large is the control group of flavor L, below that of the engine.
func (n *town) large() string { return "/" + filepath.Base(filepath.Dir(n.Socket)) + "/large" }

func (n *town) makeState() {
	if err := os.Mkdir(filepath.Join(n.dir, "state"), 0o700); err != nil {
		n.t.Fatal(err)
	}
}

// startService starts the program on the engine's host.
func (n *town) startService() {
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(n.program, "--log-level", "debug", filepath.Join(n.dir, "paas.toml"))
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, n.log, n.log
	if err := n.Inside(cmd); err != nil {
		n.t.Fatal(err)
	}
	n.service = cmd
}

// stopService ends it, with a signal that it may obey or not.
func (n *town) stopService(s os.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.service != nil {
		_ = n.service.Process.Signal(s)
		_ = n.service.Wait()
		n.service = nil
	}
}

// says gives what the service has logged.
func (n *town) says() string {
	text, err := os.ReadFile(n.log.Name())
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// owner is whose instances those of the place are.
func (p *place) owner(t *testing.T) fleet.Owner {
	t.Helper()
	owner, err := fleet.OwnerOf(p.token, p.url)
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

// eventually waits for what other processes do.
func eventually(t *testing.T, limit time.Duration, done func() bool, why func() string) {
	t.Helper()
	look, end := time.NewTicker(50*time.Millisecond), time.After(limit)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-end:
			t.Fatal(why())
		}
	}
}
