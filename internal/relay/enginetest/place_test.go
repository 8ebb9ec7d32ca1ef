// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// TestMain lets more tests run at a time than there are processors: they wait for
// containers, most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// programs are those that the images are made of.
type programs struct {
	relay, runner, sibling string
	stock                  bool // runner is a real gitlab-runner
}

func buildPrograms(t *testing.T) programs {
	const here = "heptapod-paas-runner/"
	p := programs{relay: engine.Build(t, here+"cmd/paas-relay"), sibling: engine.Build(t, here+"internal/relay/enginetest/sibling")}
	if named := os.Getenv("GITLAB_RUNNER_BINARY"); named != "" {
		p.runner, p.stock = named, true
	} else if found, err := exec.LookPath("gitlab-runner"); err == nil {
		p.runner, p.stock = found, true
	} else {
		p.runner = engine.Build(t, here+"internal/relay/enginetest/standin")
	}
	return p
}

// place is an engine with a coordinator that everything on it reaches.
type place struct {
	*engine.Engine
	t      *testing.T
	gitlab *gitlab.Server
	url    string // of the coordinator and of the stops

	mu    sync.Mutex // held while a job is queued and acquired
	stops map[string]*stop
}

// newPlace starts an engine and gives it what jobs need.
func newPlace(t *testing.T, p programs, o engine.Options) *place {
	t.Helper()
	w := &place{Engine: engine.Start(t, o), t: t, stops: map[string]*stop{}}
	box := engine.Busybox(t)
	with := func(files ...engine.File) []engine.File { return slices.Concat(box, files) }
	helper := []engine.File{
		{Path: "/usr/bin/gitlab-runner-helper", From: p.runner},
		// what a stock runner starts its helper with
		{Path: "/usr/bin/gitlab-runner-build", Data: "#!/bin/sh\nexec /bin/sh\n"},
	}
	const path = `ENV PATH=/usr/local/bin:/usr/bin:/bin`
	w.Import(t, "runner:1", with(engine.File{Path: "/usr/local/bin/paas-relay", From: p.relay}, engine.File{Path: "/usr/bin/gitlab-runner", From: p.runner}),
		path, `ENTRYPOINT ["/usr/local/bin/paas-relay", "/etc/heptapod-runner/relay.json"]`)
	w.Import(t, "helper:1", with(helper...), path)
	w.Import(t, "job:1", with(engine.File{Path: "/bin/sibling", From: p.sibling}), path)
	w.Import(t, "group/web:1", with(engine.File{Path: "/www/index.html", Data: "hello from the service\n", Mode: 0o644}),
		path, `CMD ["httpd", "-f", "-p", "80", "-h", "/www"]`, `EXPOSE 80`)

	l := w.Listen(t)
	w.url = "http://" + l.Addr().String()
	w.gitlab = gitlab.New(gitlab.Config{URL: w.url})
	server := &http.Server{Handler: w}
	server.SetKeepAlivesEnabled(false) // so that each call finds its way anew
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return w
}

// ServeHTTP is the coordinator, and the stops.
func (w *place) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	name, is := strings.CutPrefix(r.URL.Path, "/_stop/")
	if !is {
		w.gitlab.ServeHTTP(answer, r)
		return
	}
	w.mu.Lock()
	s := w.stops[name]
	w.mu.Unlock()
	if s == nil {
		answer.WriteHeader(http.StatusNotFound)
		return
	}
	close(s.reached)
	<-s.released
}

// stop is a point in a job's script where it waits for the test: the script gets its
// URL and does not go on before the answer.
type stop struct {
	url      string
	reached  chan struct{}
	released chan struct{}
	once     sync.Once
}

func (w *place) newStop(t *testing.T) *stop {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := fmt.Sprint(len(w.stops))
	s := &stop{url: w.url + "/_stop/" + name, reached: make(chan struct{}), released: make(chan struct{})}
	w.stops[name] = s
	t.Cleanup(s.release)
	return s
}

// line is what a script does to stop there.
func (s *stop) line() string { return "wget -q -O /dev/null " + s.url }

func (s *stop) release() { s.once.Do(func() { close(s.released) }) }

// wait waits until the script is there.
func (s *stop) wait(t *testing.T, i *instance) {
	t.Helper()
	reached := false
	eventually(t, func() bool {
		select {
		case <-s.reached:
			reached = true
		default:
		}
		return reached || i.now().FinishedAt != nil
	}, func() string { return "the job is too slow" })
	if !reached {
		t.Fatalf("the job ends before it gets where it is to stop; its instance says:\n%s\nits trace:\n%s", i.Output(t, i.id), i.now().Trace)
	}
}
