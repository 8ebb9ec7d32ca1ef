// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
)

// Config says how the platform behaves. Its zero value is a platform without any
// delay whose machines do nothing until they are deleted.
type Config struct {
	URL       string        // as clients see it, without a trailing slash; "" = taken from each request
	BootTime  time.Duration // from push to the start of the entry point
	RepoDelay time.Duration // how long a new application's repository stays in creation
	TaskState string        // what a running task is called: TaskRunning, if empty, or TaskWIP
	Launcher  Launcher      // nil = a machine runs until it is deleted and does nothing
	Seed      uint64        // of the ids
	Log       *slog.Logger  // nil = nothing is logged

	// Listens tells whether something listens on a port, so that an application that is
	// no task and never does can fail. nil = yes.
	Listens func(ctx context.Context, port string) bool
}

// Server is the platform. It is an http.Handler; Run starts what is pushed.
type Server struct {
	cfg     Config
	log     *slog.Logger
	handler http.Handler
	panel   *fault.Panel
	wake    chan struct{} // holds one token when queue may be non-empty

	mu     sync.Mutex
	world  World
	ids    *rand.Rand
	apps   []*application // in order of creation, deleted ones too
	byID   map[string]*application
	queue  []*application // have a deployment that waits to be run
	pool   *blobPool
	hooks  []*hook
	addons []*addon // in order of creation

	orgs          map[string]*organisation
	users         map[string]*user
	consumers     map[string]string // secrets by key
	serviceTokens []*serviceToken   // in order of creation
	nonces        nonces
}

// New makes a platform with one organisation and one user.
func New(cfg Config) *Server {
	s := &Server{
		cfg:   cfg,
		log:   cfg.Log,
		wake:  make(chan struct{}, 1),
		ids:   rand.New(rand.NewPCG(cfg.Seed, 0x636c6576)),
		world: cfg.world(),
		byID:  map[string]*application{},
		orgs:  map[string]*organisation{}, users: map[string]*user{}, consumers: map[string]string{},
		pool:  newBlobPool(),
		panel: fault.New(fault.Config{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.foundCredentials()
	s.handler = s.panel.Wrap(s.routes())
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run runs what is pushed until the context ends, then destroys all machines and
// waits for them. It returns nil.
func (s *Server) Run(ctx context.Context) error {
	var machines sync.WaitGroup
	defer machines.Wait()
	for {
		for _, app := range s.takeQueue() {
			machines.Go(func() { s.runMachine(ctx, app) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
	}
}

// enqueue asks Run to run an application's waiting deployment. Needs s.mu.
func (s *Server) enqueue(app *application) {
	if app.busy {
		return // its machine looks for more when it is done
	}
	app.busy = true
	s.queue = append(s.queue, app)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Server) takeQueue() []*application {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queue
	s.queue = nil
	return queue
}

// newID makes an id such as app_<uuid>. Needs s.mu.
func (s *Server) newID(prefix string) string {
	var b [16]byte
	for i := range b {
		b[i] = byte(s.ids.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s_%s-%s-%s-%s-%s", prefix, h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

// baseURL is how the client of this request sees us.
func (s *Server) baseURL(r *http.Request) string {
	if s.cfg.URL != "" {
		return s.cfg.URL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// Time is read in UTC with microseconds, so that what is shown compares equal to
// what is kept.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
