// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/notify"
)

// tellEvery is how often the service manager is told how the service is, if its
// watchdog does not want it more often.
const tellEvery = 5 * time.Second

// herald tells the service manager (systemd) how the service is. What it tells comes
// from the goroutine that owns the state: when that hangs, no sign of life is sent and
// the service manager starts the process anew.
type herald struct {
	send     func(lines ...string) error
	status   func() manager.Status // blocks while the owner of the state hangs
	every    time.Duration
	watchdog bool
	log      *slog.Logger
}

// newHerald makes one for an open socket, which may be nil.
func newHerald(socket *notify.Socket, m *manager.Manager, log *slog.Logger) *herald {
	patience, err := notify.Watchdog(os.Getenv, os.Getpid())
	if err != nil {
		log.Warn("the watchdog of the service manager is not served", "err", err)
	}
	h := &herald{send: socket.Send, status: m.Status, every: tellEvery, watchdog: patience > 0, log: log}
	if h.watchdog {
		h.every = min(h.every, patience/2)
	}
	return h
}

// Run tells until the context ends: ready once the ledger is read and the owner of the
// state works, then signs of life.
func (h *herald) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		h.tell(notify.Stopping, notify.Status("stopping: jobs go on running, the next start takes care of them"))
	})
	defer stop()
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	ready, last := false, ""
	for {
		status := h.status()
		if ctx.Err() != nil || status.StartedAt.IsZero() { // it ends, or has never begun
			return nil
		}
		var lines []string
		if !ready {
			lines, ready = append(lines, notify.Ready), true
		}
		if h.watchdog {
			lines = append(lines, notify.Alive)
		}
		if text := headline(status); text != last {
			lines, last = append(lines, notify.Status(text)), text
		}
		if len(lines) > 0 {
			h.tell(lines...)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reloading tells that the configuration is read again; done that it has been, well or not.
func (h *herald) reloading() (done func()) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		h.log.Warn("the clock of the service manager can't be read", "err", err)
	}
	h.tell(notify.Reloading, notify.Monotonic(time.Duration(now.Nano())))
	return func() { h.tell(notify.Ready) }
}

// tell sends a message; one that is lost is worth a line in the log and nothing more.
func (h *herald) tell(lines ...string) {
	if err := h.send(lines...); err != nil {
		h.log.Warn("notify", "err", err)
	}
}

// headline is the service in one line.
func headline(s manager.Status) string {
	text := fmt.Sprintf("%s, %s, weight %v of %v", counted(len(s.Jobs), "open job"), counted(len(s.Instances), "instance"), s.Weight, s.Quota)
	switch {
	case s.Fuse != "":
		text += "; fuse blown: " + s.Fuse
	case len(s.Reasons) > 1:
		text += fmt.Sprintf("; not ready: %s (and %d more)", s.Reasons[0], len(s.Reasons)-1)
	case !s.Ready && len(s.Reasons) == 1:
		text += "; not ready: " + s.Reasons[0]
	}
	return text
}

// counted gives "1 job", "2 jobs".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
