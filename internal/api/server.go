// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"heptapod-paas-runner/internal/secret"
)

const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	closeTimeout = 5 * time.Second
	// askTimeout bounds the wait for the Source; a manager that can't tell its state
	// within it is not ready.
	askTimeout = 5 * time.Second
	maxHeaders = 16 << 10
)

// Source is what the server shows and whom it tells. Notice returns an error for a
// key and bearer that do not belong together, and an error that IsDown knows when
// nobody can tell.
type Source interface {
	Status() Status
	Notice(key, event, bearer string) error
	Audit() (Audit, error)
	Release() error          // the fuse
	Forget(key string) error // a kept instance; ErrNotKept
}

// Config says where to listen and who may read.
type Config struct {
	Listen  string // host:port
	Version string
	Log     *slog.Logger
	// Token, when set, is asked for on /api/v1 as a bearer. Without it /api/v1 is
	// served to programs of this computer only, and not under a foreign host name,
	// which is what a web page in somebody's browser would use.
	Token secret.String
}

// Server is the status listener.
type Server struct {
	cfg    Config
	source Source
	asks   singleflight.Group
	rate   bucket // of notices
}

// New makes the server. It does not listen yet.
func New(cfg Config, source Source) *Server {
	return &Server{cfg: cfg, source: source}
}

// Run listens and serves until ctx ends; nil then.
func (s *Server) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("status listener: %w", err)
	}
	return s.Serve(ctx, l)
}

// Serve serves on a listener, which it closes, until ctx ends; nil then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	s.cfg.Log.Info("status listener is up", "address", l.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(&limited{Listener: l}) }()
	select {
	case err := <-ended:
		return fmt.Errorf("status listener: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // a client that holds its connection does not hold the service
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("status listener: %w", err)
	}
	return nil
}

// Handler gives the routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("POST /api/v1/notice", s.notice)
	guarded := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, s.guard(h))
	}
	guarded("GET /api/v1/status", s.status)
	guarded("GET /api/v1/jobs", s.jobs)
	guarded("GET /api/v1/jobs/{id}", s.job)
	guarded("GET /api/v1/instances", s.instances)
	guarded("GET /api/v1/audit", s.audit)
	guarded("POST /api/v1/audit/release", s.release)
	guarded("POST /api/v1/audit/forget", s.forget)
	guarded("/api/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "no such page: "+r.URL.Path)
	})
	return sameOrigin(mux)
}

var errSilent = errors.New("the manager does not answer")

// ask gets one picture from the source, but waits for it only so long. Requests that
// come while one is being made share it, so that a stuck manager gathers no crowd.
func (s *Server) ask(ctx context.Context) (Status, error) {
	clock := time.NewTimer(askTimeout)
	defer clock.Stop()
	answer := s.asks.DoChan("status", func() (any, error) { return s.source.Status(), nil })
	select {
	case result := <-answer:
		status, ok := result.Val.(Status)
		if !ok {
			return Status{}, errSilent
		}
		return status, nil
	case <-clock.C:
		return Status{}, errSilent
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}
