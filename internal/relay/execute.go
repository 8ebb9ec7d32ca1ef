// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	// replayStep is how often promised bytes are tried while the sub-runner is silent.
	replayStep = 10 * time.Second
	// askGrace is added to the sub-runner's own wait-timeout.
	askGrace = time.Minute
	// cleanGrace is how long the sub-runner may clean up after its last word.
	cleanGrace = 5 * time.Minute
	// quitGrace is how long it may take to obey a signal before it is killed.
	quitGrace = time.Minute
	// overGrace is how long after the coordinator's own limit a sub-runner that
	// still runs is taken to hang.
	overGrace = time.Hour
)

// execute runs the sub-runner against the relay, to its end.
func (r *relay) execute(ctx, early context.Context, place *site) *ending {
	if place.err != nil {
		return &ending{sentence: notReady(place.err)}
	}
	if early.Err() != nil {
		return &ending{sentence: "The instance was stopped before the job began."}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := r.deps.Own
	gate := &gate{job: r.job, own: own, desk: r.clerk}
	server := newServer(ctx, gate, r.log)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(&limited{Listener: place.listener, own: own, most: strangers}); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("serve the sub-runner", "err", err)
		}
	}()
	replayed := make(chan struct{})
	go func() { defer close(replayed); r.replay(ctx) }()
	end := r.supervise(ctx, place)
	cancel()
	server.Close()
	gate.busy.close()
	<-served
	<-replayed
	return end
}

func notReady(err error) string { return "The instance could not be made ready: " + err.Error() + "." }

// replay sends what was promised in an outage, also while the sub-runner is silent.
func (r *relay) replay(ctx context.Context) {
	for sleep(ctx, replayStep) {
		if !r.trace.take(ctx) {
			return
		}
		if r.trace.acked < r.trace.promised {
			if _, err := r.trace.flush(ctx); err != nil {
				r.log.Debug("replay the trace", "err", err)
			}
		}
		r.trace.give()
	}
}

// supervise starts the sub-runner and waits for its end.
func (r *relay) supervise(ctx context.Context, place *site) *ending {
	last := &tail{}
	host, _, err := net.SplitHostPort(place.listener.Addr().String())
	if err != nil {
		host = place.listener.Addr().String()
	}
	args := append(append([]string{}, r.settings.SubRunner...), "run-single", "--config", r.configCopy(),
		"--runner", r.settings.RunnerName, "--max-builds", "1", "--wait-timeout", strconv.FormatInt(r.settings.WaitTimeoutSeconds, 10))
	process, err := r.deps.Start(ctx, Command{
		Args: args, Env: environment(r.deps.Env, host), Dir: r.settings.dir, Stderr: last,
	})
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return &ending{sentence: fmt.Sprintf("The instance's image has no program %s.", args[0])}
	}
	if err != nil {
		return &ending{sentence: fmt.Sprintf("%s could not be started: %v.", args[0], err)}
	}
	r.log.Info("sub-runner started", "program", args[0])
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	err = r.attend(ctx, process, ended)
	how := "by itself"
	if err != nil {
		how = err.Error()
	}
	r.log.Info("sub-runner ended", "how", how)
	hidden := append([]string{r.settings.StandInToken}, r.job.hidden...)
	return &ending{sentence: r.why(args[0], how), words: last.lines(hidden)}
}

// why is the sentence for a sub-runner that ended without a result.
func (r *relay) why(program, how string) string {
	switch {
	case isClosed(r.clerk.again) && r.up.health.jobStatus() == "canceling":
		return "The job was canceled before it began."
	case isClosed(r.clerk.again):
		return fmt.Sprintf("%s gave the job up before it began.", program)
	case !isClosed(r.clerk.taken):
		return fmt.Sprintf("%s ended (%s) without taking the job.", program, how)
	}
	return fmt.Sprintf("%s ended (%s) without reporting the job's result.", program, how)
}

// attend waits for the sub-runner, passes signals on to it, and ends one that hangs.
func (r *relay) attend(ctx context.Context, process Process, ended <-chan error) error {
	asks := time.NewTimer(time.Duration(r.settings.WaitTimeoutSeconds)*time.Second + askGrace)
	defer asks.Stop()
	over, again, taken := r.memory.over, (<-chan struct{})(r.clerk.again), (<-chan struct{})(r.clerk.taken)
	var hangs, kills, limit <-chan time.Time
	if at := r.settings.serverLimit(); !at.IsZero() {
		limit = after(ctx, time.Until(at.Add(overGrace)))
	}
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			r.signal(process, os.Kill)
			return <-ended
		case <-r.signals: // SIGINT too: the sub-runner aborts, reports and ends
			r.signal(process, syscall.SIGTERM)
		case <-taken:
			taken = nil
			asks.Stop()
		case <-again: // it has dropped the job and would wait for another
			again = nil
			r.signal(process, syscall.SIGQUIT)
			kills = after(ctx, quitGrace)
		case <-over:
			over = nil
			hangs = after(ctx, cleanGrace)
		case <-hangs:
			r.signal(process, syscall.SIGTERM)
			kills = after(ctx, quitGrace)
		case <-limit:
			r.log.Warn("the job's time has long been over")
			r.signal(process, syscall.SIGTERM)
			kills = after(ctx, quitGrace)
		case <-asks.C:
			r.log.Warn("the sub-runner does not ask for the job")
			r.signal(process, os.Kill)
		case <-kills:
			r.signal(process, os.Kill)
		}
	}
}

func (r *relay) signal(process Process, s os.Signal) {
	if err := process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.log.Warn("signal the sub-runner", "signal", s.String(), "err", err)
	}
}

// after is a timer that goes with the context.
func after(ctx context.Context, d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	go func() {
		if sleep(ctx, d) {
			c <- time.Now()
		}
	}()
	return c
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
