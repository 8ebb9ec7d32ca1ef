// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/gitpush"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/pystate"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/memnet"
	"heptapod-paas-runner/internal/store"
)

const (
	gitlabURL   = "http://gitlab.example"
	heptapodURL = "http://heptapod.example" // the second coordinator of worlds that have one
	cleverURL   = "http://clever.example"
	bootTime    = 20 * time.Second
)

// world is everything around the service, and the lives of the service in it. It must
// be made inside a synctest bubble.
type world struct {
	t      *testing.T
	seed   uint64
	dir    string
	net    *memnet.Network
	clever *clever.Server
	places []string // URLs of the coordinators
	bench  *bench
	cfg    *config.Config
	ctx    context.Context // of the servers
	stop   context.CancelFunc
	done   sync.WaitGroup

	travelMu sync.Mutex
	travels  map[string]int // requests of instances and of the world, by what they ask

	story  *story
	armed  map[string]string // what each fault of a server is called, by place and id
	struck map[string]bool
	log    *bytes.Buffer // of all lives
	logMu  sync.Mutex
	life   *life
	lives  int
	orders []order
	watch  *watcher
	book   *book
	owners []fleet.Owner // more than the configuration's, after a reload
	forgot bool          // the ledger was lost in between: lines may be missing
	marks  []string      // of runners whose instances the Python program made: they are ours too

	lifeMu      turns        // of life, present and jumps, for those who act while lives come and go
	skew        atomic.Int64 // how far the service's wall clock is ahead
	jumps       []jump       // of it that the ledger does not know of yet
	present     *config.Config
	servers     map[string]*gitlab.Server
	lenient     bool        // the cloud may hold more of ours than we can know of
	refuse      atomic.Bool // a broken proxy stands before the service: 401 to all that it asks coordinators
	full        atomic.Bool // the ledger's disk has no space left
	repeats     repeats
	frozen      atomic.Pointer[time.Time] // the service does nothing until then
	drawn       bool                      // it is that of a plan
	calm        bool                      // nothing is in the way but crashes
	bounded     bool                      // nothing is, but of some calls, instances or kinds of them
	hangs       bool                      // a machine may be silent for as long as its coordinator waits
	hides       bool                      // lists may hide what is there
	unrelayed   bool                      // results that sub-runners send may be lost without their knowing
	purses      bool                      // who pays changes
	pursesOnly  bool                      // and nothing else is in the way of many
	poor        atomic.Bool               // a group has no attributes
	richAgain   atomic.Int64              // when it got them back
	purseMu     sync.Mutex
	rotated     string
	renamed     map[string]string // names of applications before somebody renamed them, by id
	ownAgain    sync.Map          // by id, since when they have their names again
	given       sync.Map          // keys of instances that were kept and given away
	canceled    sync.Map          // jobs that users canceled, and when
	longOutage  bool              // a coordinator could not be reached for so long that it gives jobs up
	cuts        []powerCut
	endings     []time.Time // of lives
	grants      sync.Map    // jobs whose grant arrived, by JobID
	releases    atomic.Int32
	plantings   atomic.Int32
	plantedGone atomic.Int32
	cleared     sync.Map // ids of applications that were planted and looked after
	losses      int      // of the ledger
	reloaded    atomic.Bool
	plainTokens bool     // each organisation has the one token that the worlds of plans give it
	traceLost   sync.Map // jobs whose trace the coordinator lost a part of
	around      func(cloud.Provisioner) cloud.Provisioner
	packs       gitpush.Cache
}

// turns is a lock for those who wait for the service while they hold it: in simulated time no
// time passes while somebody waits for a mutex, and all does while somebody waits for a channel.
type turns chan struct{}

func (t turns) Lock()   { t <- struct{}{} }
func (t turns) Unlock() { <-t }

// powerCut is one end of a life.
type powerCut struct {
	at    time.Time
	point string
}

// granted notes an answer that grants a job.
func (w *world) granted(place string, id [][]byte) {
	if id == nil {
		return
	}
	n, _ := strconv.ParseInt(string(id[1]), 10, 64)
	w.grants.Store(fleet.JobID{Coordinator: place, ID: n}, true)
}

// life is one process of the service.
type life struct {
	fate    *fate
	manager *manager.Manager
	store   *store.Store
	cancel  context.CancelFunc
	ended   chan struct{}
	begun   time.Time
}

// memory gives a world a folder of its own in memory, where there is one: ledgers are synced
// thousands of times, and no disk is what these tests are about.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "e2e-") //nolint:usetesting // TempDir is on a disk, as a rule
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, dir: memory(t), log: &bytes.Buffer{}, story: &story{}, armed: map[string]string{}, struck: map[string]bool{}, travels: map[string]int{}, lifeMu: make(turns, 1)}
	w.net = memnet.New(memnet.Config{Latency: w.latency})
	w.bench = &bench{net: w.net, dir: w.dir, started: map[string]int{}}
	w.clever = clever.New(clever.Config{URL: cleverURL, BootTime: bootTime, RepoDelay: 700 * time.Millisecond, Launcher: w.bench, Seed: seed})
	w.cfg = w.config()
	w.watch, w.book = newWatcher(w), newBook(w)
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ctx = stop, ctx
	w.coordinator(gitlabURL)
	w.serve(ctx, "clever.example", w.watch.cloud(w.askew(w.clever)), w.clever.Run)
	return w
}

// coordinator adds one to the world.
func (w *world) coordinator(url string) {
	server := gitlab.New(gitlab.Config{URL: url, Seed: w.seed + uint64(len(w.places))})
	w.places = append(w.places, url)
	if w.servers == nil {
		w.servers = map[string]*gitlab.Server{}
	}
	w.servers[url] = server
	w.serve(w.ctx, strings.TrimPrefix(url, "http://"), w.watch.coordinator(url, server), server.Run)
}

// addRunner gives the configuration another runner, like the first one.
func (w *world) addRunner(name, token, coordinator string) {
	runner := w.cfg.Runners[0]
	runner.Name, runner.Token, runner.URL, runner.Coordinator = name, secret.New(token), coordinator, coordinator
	owner, err := fleet.OwnerOf(token, coordinator)
	if err != nil {
		w.t.Fatal(err)
	}
	runner.Owner = owner
	w.cfg.Runners = append(w.cfg.Runners, runner)
}

// latency gives every request a time of its own, so that no two answers arrive at one
// instant and the order of all events follows from the seed.
func (w *world) latency(r *http.Request, _ int) time.Duration {
	h := fnv.New64a()
	call := r.Header.Get(callHeader)
	if call == "" { // of an instance, or of the world itself
		what := fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Range"), r.UserAgent())
		w.travelMu.Lock()
		w.travels[what]++
		call = fmt.Sprintf("%s %d", what, w.travels[what])
		w.travelMu.Unlock()
	}
	fmt.Fprintf(h, "%d %s", w.seed, call)
	return time.Millisecond + time.Duration(h.Sum64()%uint64(40*time.Millisecond))
}

func (w *world) config() *config.Config {
	runner := config.Runner{
		Name: "clever", URL: gitlabURL, Coordinator: gitlabURL, Token: secret.New(gitlab.RunnerToken), Executor: "clever-docker",
		SubRunner: config.ModeRelay, MainImage: config.DefaultMainImage,
		TraceWatch: config.TraceWatch{Timeout: 300 * time.Second, PollStep: 10 * time.Second},
		Clever: config.Clever{
			APIURL: cleverURL + "/v2", Zone: "par", DefaultFlavor: "M", AuthUser: "Jenkins", OrgaID: clever.FirstOrganisation,
			Token: secret.New(clever.FirstToken), RepoTimeout: 20 * time.Second, RepoWaitStep: 2 * time.Second,
			ExtraEnv: map[string]string{"CC_ENABLE_HEPTAPOD_RUNNER": "true"},
		},
		Forward: map[string]any{"docker": map[string]any{"image": "debian:bullseye"}},
	}
	owner, err := fleet.OwnerOf(gitlab.RunnerToken, gitlabURL)
	if err != nil {
		w.t.Fatal(err)
	}
	runner.Owner = owner
	return &config.Config{
		StateFile: filepath.Join(w.dir, "state.db"), Concurrent: 50, CheckInterval: 3 * time.Second, JobProgressInterval: 30 * time.Second,
		MaxProvisioning: 10, MaxParked: 600 * time.Second, DecommissionLaunchFailures: true,
		Quota: config.Quota{ReferenceRunner: "clever", ReferenceFlavor: "M", ReferenceJobs: 3}, Runners: []config.Runner{runner},
	}
}

func (w *world) serve(ctx context.Context, host string, h http.Handler, run func(context.Context) error) {
	l, err := w.net.Listen(host)
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: bodyFirst(w.repeats.before(h)), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	w.done.Go(func() { _ = server.Serve(l) })
	w.done.Go(func() { _ = run(ctx) })
	w.done.Go(func() { <-ctx.Done(); _ = server.Close() })
}

// begin starts a life of the service that will be cut at the named point ("" = never).
func (w *world) begin(target string) { w.beginFate(&fate{target: target}) }

// beginFate starts a life of the service with that fate.
func (w *world) beginFate(f *fate) {
	w.lives++
	w.frozen.Store(nil) // that was the process before
	w.story.point(fmt.Sprintf("-- life %d", w.lives))
	ctx, cancel := context.WithCancel(context.Background())
	f.seen, f.fresh, f.story, f.kill, f.full = map[string]int{}, map[string]bool{}, w.story, cancel, &w.full
	l := &life{cancel: cancel, ended: make(chan struct{}), fate: f, begun: time.Now()}
	w.settleJumps()
	ledger, err := store.Open(ctx, store.Config{Path: w.cfg.StateFile, Hook: l.fate, Release: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	l.store = ledger
	snap, err := ledger.Load(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	w.watch.forgetsJump(snap.Meta)
	next := w.net.Client(fmt.Sprint("life ", w.lives)).Transport()
	count := &counter{seen: map[string]int{}}
	calls := func(rc config.Runner) *wire {
		return &wire{fate: l.fate, granted: w.granted, refuse: &w.refuse, thaw: w.thaw, book: w.book, seed: w.seed, who: rc.Name, calls: count, next: next}
	}
	clients := func(wire *wire) manager.Clients {
		return manager.Clients{Version: "test", SystemID: "r_0123456789ab", Jitter: func() float64 { return 0.5 }, Transport: wire, Packs: &w.packs}
	}
	seed := [32]byte{byte(w.seed), byte(w.lives)}
	w.lifeMu.Lock()
	cfg := w.current() // an operator may change it at this moment
	w.book.begins(cfg)
	w.lifeMu.Unlock()
	l.manager, err = manager.New(cfg, manager.Deps{
		Ledger: observed{ledger, w.book}, Log: w.logger(), Version: "test",
		Coordinator: func(rc config.Runner) (*coordinator.Client, error) { return clients(calls(rc)).Coordinator(rc) },
		Provisioner: func(rc config.Runner) (cloud.Provisioner, error) {
			wire := calls(rc)
			prov, err := clients(wire).Provisioner(rc)
			if err == nil && w.around != nil {
				prov = w.around(prov)
			}
			return apart{prov, wire}, err
		},
		RelayBinary: []byte("relay"), Random: rand.NewChaCha8(seed), Seed: w.seed + uint64(w.lives), Wall: w.wall,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.lifeMu.Lock()
	w.life = l
	w.lifeMu.Unlock()
	w.watch.ledger.Store(ledger)
	go func() {
		defer close(l.ended)
		err := pystate.Settle(context.WithoutCancel(ctx), ledger, cfg.Runners, time.Now(), w.logger())
		if err == nil {
			err = l.manager.Run(ctx)
		}
		if err != nil && !strings.Contains(err.Error(), errPower.Error()) {
			w.watch.fault("the service ended: %v", err)
		}
	}()
}

// end waits for a life that was cut or stops one that was not.
func (w *world) end() {
	if w.life.fate.alive() {
		w.thaw() // a signal waits for that
	}
	w.book.stops()
	w.endings = append(w.endings, time.Now())
	w.life.cancel()
	stops := time.Now()
	<-w.life.ended
	if took := time.Since(stops); w.drawn && took > 4*time.Second && w.frozen.Load() == nil {
		w.watch.fault("I6: the service takes %s to stop", took)
	}
	w.net.Client(fmt.Sprint("life ", w.lives)).Cut()
	if err := w.life.store.Close(); err != nil {
		w.t.Errorf("close the ledger: %v", err)
	}
}

// close ends the world.
func (w *world) close() {
	w.stop()
	w.net.Close()
	w.done.Wait()
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type lockedWriter struct{ w *world }

func (l lockedWriter) Write(p []byte) (int, error) {
	l.w.logMu.Lock()
	defer l.w.logMu.Unlock()
	_, _ = l.w.story.Write(p) // never fails
	return l.w.log.Write(p)
}

// order is one job as a user would queue it, and what may become of it.
type order struct {
	place  string // URL of the coordinator
	id     int64
	body   map[string]any
	cancel time.Duration // after queuing; 0 = never
	want   []string      // statuses that are right
}

// queue posts a job.
func (w *world) queue(body map[string]any, want ...string) *order {
	return w.queueAt(gitlabURL, body, want...)
}

// queueAt posts a job to one of several coordinators.
func (w *world) queueAt(place string, body map[string]any, want ...string) *order {
	var answer struct {
		ID int64 `json:"id"`
	}
	w.control("POST", place+"/_sim/jobs", body, &answer)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	w.orders = append(w.orders, order{place: place, id: answer.ID, body: body, want: want})
	return &w.orders[len(w.orders)-1]
}

// order finds what was queued.
func (w *world) order(j simJob) (order, bool) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	i := slices.IndexFunc(w.orders, func(o order) bool { return o.id == j.ID && o.place == j.place })
	if i < 0 {
		return order{}, false
	}
	return w.orders[i], true
}

// control calls a control endpoint of a simulator.
func (w *world) control(method, url string, body, into any) {
	var send io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		send = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, url, send)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: w.net.Transport()}).Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, url, answer.StatusCode, raw)
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			w.t.Fatal(err)
		}
	}
}

// simJob is a job as GET /_sim/jobs shows it.
type simJob struct {
	ID            int64      `json:"id"`
	Status        string     `json:"status"`
	FailureReason string     `json:"failure_reason"`
	ExitCode      *int       `json:"exit_code"`
	Trace         string     `json:"trace"`
	AcquiredAt    *time.Time `json:"acquired_at"`
	FinishedAt    *time.Time `json:"finished_at"`

	place string // URL of its coordinator
}

func (w *world) simJobs() []simJob {
	var out []simJob
	for _, place := range w.places {
		var jobs []simJob
		w.control("GET", place+"/_sim/jobs", nil, &jobs)
		for i := range jobs {
			jobs[i].place = place
		}
		out = append(out, jobs...)
	}
	return out
}

// quiet waits until every job has ended, the service has none open and every instance
// is gone; false after the given time.
func (w *world) quiet(limit time.Duration) bool {
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(7 * time.Second) {
		if w.isQuiet() {
			return true
		}
	}
	return false
}

// ours tells whether a name is exactly one of our keys.
func (w *world) ours(name string) bool {
	if mark, _, python := fleet.ParsePythonKey(name); python && slices.Contains(w.marks, mark) {
		return true
	}
	owner, _, ok := fleet.ParseKey(name)
	return ok && (w.runner(owner) >= 0 || slices.Contains(w.owners, owner))
}

// runner finds the runner with that owner mark; -1 when there is none.
func (w *world) runner(owner fleet.Owner) int {
	return slices.IndexFunc(w.cfg.Runners, func(r config.Runner) bool { return r.Owner == owner })
}

func (w *world) isQuiet() bool {
	for _, j := range w.simJobs() {
		if j.FinishedAt == nil {
			return false
		}
	}
	for _, app := range w.clever.Applications() {
		if app.State != "deleted" && w.ours(app.Name) && !w.isPlanted(app.Name) {
			return false
		}
	}
	w.awake(337 * time.Microsecond)
	w.book.look()
	s := w.life.manager.Status()
	left := slices.DeleteFunc(slices.Clone(s.Instances), func(vm fleet.Instance) bool { return w.isPlanted(vm.Key) })
	return len(s.Jobs) == 0 && len(left) == 0 && s.StartedAt != (time.Time{})
}
