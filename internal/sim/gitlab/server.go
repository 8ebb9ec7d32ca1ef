// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"cmp"
	"net/http"
	"strings"
	"sync"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
)

// The tokens that a new server knows. Any glrt-… token is a runner's, too.
const (
	RunnerToken       = "sim-runner-token"
	RegistrationToken = "sim-registration-token"
	AdminToken        = "sim-admin-token"
)

// Config configures a Server. A duration of zero means the default, a negative one that
// the server doesn't do it at all.
type Config struct {
	URL        string        // how clients reach the server: scheme and host
	LongPoll   time.Duration // how long a job request is held; 50 s
	DropSilent time.Duration // after how long without update a job is dropped; 30 m
	DropLate   time.Duration // how long after its timeout a job is dropped; 15 m
	Seed       uint64        // of tokens and queue values

	MaxArtifact int64 // bytes of an artifact; 0 means GitLab's default of 100 MiB
}

// Server is a pretend GitLab. Make it with New; its drop timers need Run.
type Server struct {
	config  Config
	panel   *fault.Panel
	handler http.Handler
	kick    chan struct{} // tells Run that a deadline may be nearer than it thinks

	mu       sync.Mutex
	jobs     []*job // by id
	open     []*job // not ended, by id
	tokens   map[string]*job
	runners  map[string]*runner // by token
	revoked  map[string]bool    // runner tokens that were good once
	lastID   int                // of runners
	secrets  uint64             // how many secrets were made
	projects map[string]int     // ids of projects and groups, by path
	groups   map[string]map[string]string
	repos    map[string]*repository
	ticks    int           // how often the queue changed
	changed  chan struct{} // closed when the queue changes
}

// New makes a server without jobs.
func New(c Config) *Server {
	c.URL = strings.TrimRight(cmp.Or(c.URL, "http://gitlab.example"), "/")
	c.LongPoll = cmp.Or(c.LongPoll, 50*time.Second)
	c.DropSilent = cmp.Or(c.DropSilent, 30*time.Minute)
	c.DropLate = cmp.Or(c.DropLate, 15*time.Minute)
	c.MaxArtifact = cmp.Or(c.MaxArtifact, 100<<20)
	s := &Server{
		config: c, panel: fault.New(fault.Config{}), kick: make(chan struct{}, 1),
		tokens: map[string]*job{}, runners: map[string]*runner{}, revoked: map[string]bool{},
		projects: map[string]int{}, groups: map[string]map[string]string{},
		repos: map[string]*repository{}, changed: make(chan struct{}),
	}
	s.addRunner(RunnerToken, &runner{description: "sim-runner", anyTag: true, untagged: true})
	s.handler = s.panel.Wrap(echoRequestID(s.routes()))
	return s
}

// Panel is the server's fault panel, for tests in the same process.
func (s *Server) Panel() *fault.Panel { return s.panel }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// routes lists every endpoint; what is not here is 404, or a git repository.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"POST /api/v4/jobs/request":        s.requestJob,
		"PUT /api/v4/jobs/{id}":            s.updateJob,
		"PATCH /api/v4/jobs/{id}/trace":    s.appendTrace,
		"POST /api/v4/jobs/{id}/artifacts": s.uploadArtifact,
		"GET /api/v4/jobs/{id}/artifacts":  s.downloadArtifact,
		"GET /api/v4/job":                  s.ownJob,

		"POST /api/v4/runners":                            s.registerRunner,
		"DELETE /api/v4/runners":                          s.deleteRunner,
		"POST /api/v4/runners/verify":                     s.verifyRunner,
		"DELETE /api/v4/runners/managers":                 s.deleteManager,
		"POST /api/v4/runners/reset_authentication_token": s.resetRunner,
		"GET /api/v4/runners/router/discovery":            s.discoverRouter,

		"POST /api/v4/user/runners":                          s.admin(s.createRunner),
		"GET /api/v4/runners/all":                            s.admin(s.allRunners),
		"GET /api/v4/runners/{id}":                           s.admin(s.showRunner),
		"GET /api/v4/runners/{id}/jobs":                      s.admin(s.runnerJobs),
		"GET /api/v4/runners/{id}/managers":                  s.admin(s.runnerManagers),
		"GET /api/v4/projects/{project}/jobs/{id}":           s.admin(s.projectJob),
		"GET /api/v4/projects/{project}/jobs/{id}/trace":     s.admin(s.projectTrace),
		"POST /api/v4/projects/{project}/jobs/{id}/cancel":   s.admin(s.cancelProjectJob),
		"GET /api/v4/groups":                                 s.admin(s.listGroups),
		"GET /api/v4/groups/{group}/custom_attributes":       s.admin(s.groupAttributes),
		"GET /api/v4/groups/{group}/custom_attributes/{key}": s.admin(s.groupAttribute),

		"POST /_sim/jobs":                    s.postJob,
		"GET /_sim/jobs":                     s.listJobs,
		"GET /_sim/jobs/{id}":                s.showJob,
		"POST /_sim/jobs/{id}/cancel":        s.cancelJob,
		"PUT /_sim/groups/{name}/attributes": s.putAttributes,

		"/": s.git,
	} {
		mux.HandleFunc(pattern, h)
	}
	return mux
}

// echoRequestID answers with the X-Request-Id that a newer runner sends.
func echoRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Request-Id"); id != "" {
			w.Header().Set("X-Request-Id", id)
		}
		next.ServeHTTP(w, r)
	})
}

// tick changes the queue value, so that requests that are held come back; the caller holds the lock.
func (s *Server) tick() {
	s.ticks++
	close(s.changed)
	s.changed = make(chan struct{})
}
