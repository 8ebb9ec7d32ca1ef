// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// pipes is a listener whose connections are pipes, so that time stands still while
// both ends wait for it.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// inBubble runs a test in simulated time with a client and a server on pipes. The
// client has its default limits.
func inBubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, c *coordinator.Client)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: h}
		go func() { _ = server.Serve(p) }()
		defer func() {
			_ = server.Close()
			synctest.Wait()
		}()
		transport := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
		c, err := coordinator.New(coordinator.Config{URL: "http://gitlab.example", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

// hang reads the request and never answers it.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestAHangEndsByTimeout(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		inBubble(t, hang, func(t *testing.T, c *coordinator.Client) {
			want, limit := "transient", 30*time.Second
			if name == "request" {
				want, limit = "unknown", 70*time.Second
			}
			began := time.Now()
			err := call(t.Context(), c)
			if took := time.Since(began); took != limit {
				t.Errorf("%s: took %v, want %v", name, took, limit)
			}
			if got := verdict(err); got != want || !errors.Is(err, context.DeadlineExceeded) || !fleet.IsCut(err) {
				t.Errorf("%s: got %s (%v), want %s and a cut", name, got, err, want)
			}
			clean(t, name, err)
		})
	}
}

func TestACallerThatGivesUpEndsTheCall(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		inBubble(t, hang, func(t *testing.T, c *coordinator.Client) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := call(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s: got %v after %v", name, err, time.Since(began))
			}
			if err := call(ctx, c); !fleet.IsCut(err) {
				t.Errorf("%s with a dead context: got %v", name, err)
			}
		})
	}
}

// TestAGrantedJobIsNotLostByGivingUp: the caller gives up between the head of a 201 and
// its body; the job arrives all the same, within the time of a call.
func TestAGrantedJobIsNotLostByGivingUp(t *testing.T) {
	t.Parallel()
	grant := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-GitLab-Last-Update", "after")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":42,"token":"`+jobSecret+`","variables":[`)
		w.(http.Flusher).Flush()
		select {
		case <-time.After(29 * time.Second):
			_, _ = io.WriteString(w, `]}`)
		case <-r.Context().Done():
		}
	}
	inBubble(t, grant, func(t *testing.T, c *coordinator.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait() // the client waits for the rest of the body
			cancel()
		}()
		grant, err := c.Request(ctx, coordinator.RunnerCall{Token: runnerToken, LastUpdate: "before"})
		if err != nil || grant.Job == nil || grant.Job.ID != 42 || grant.LastUpdate != "after" {
			t.Errorf("got %v, %v", grant, err)
		}
		if ctx.Err() == nil {
			t.Error("the job arrived before the caller gave up: nothing was tested")
		}
	})
}

// TestAGrantedJobThatNeverEndsIsNamed: the body hangs after id and token. The error
// names the job and is not taken for a poll that was cut.
func TestAGrantedJobThatNeverEndsIsNamed(t *testing.T) {
	t.Parallel()
	grant := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-time.After(60 * time.Second) // of the poll's 70
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":42,"token":"`+jobSecret+`","variables":[`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	inBubble(t, grant, func(t *testing.T, c *coordinator.Client) {
		began := time.Now()
		_, err := c.Request(t.Context(), coordinator.RunnerCall{Token: runnerToken})
		u, ok := errors.AsType[*coordinator.UnreadableError](err)
		if !ok || u.ID != 42 || u.Token != jobToken {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("took %v: the body has a call's time of its own", took)
		}
		if fleet.ClassOf(err) != fleet.Unknown || fleet.IsCut(err) {
			t.Errorf("got class %v, cut %v", fleet.ClassOf(err), fleet.IsCut(err))
		}
		clean(t, "unreadable", err)
	})
}
