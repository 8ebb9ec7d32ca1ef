// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says what to run.
type Config struct {
	File string // relay.json
}

// Deps is the world outside. The zero value is the real one.
type Deps struct {
	Transport http.RoundTripper                               // to the coordinator and the manager
	Listen    func(address string) (net.Listener, error)      // host:port, port 0
	Own       func(remote, local net.Addr) bool               // tells the sub-runner's connections from all others
	Start     func(context.Context, Command) (Process, error) // starts the sub-runner
	Env       []string                                        // the sub-runner's environment; this process's if nil
	Stop      <-chan os.Signal                                // asks for an orderly end: the sub-runner aborts and reports
	Docker    Docker
	Log       *slog.Logger
	Version   string
}

// Who brought the coordinator to its final state.
const (
	BySubRunner   = "sub-runner"
	ByRelay       = "relay"
	ByCoordinator = "coordinator"
)

// Outcome is how the job ended, as far as it can be known here.
type Outcome struct {
	// State is success, failed or canceled; "" when the job has ended but the
	// coordinator does not tell how.
	State         string
	FailureReason string
	ExitCode      int
	By            string
	HandedOut     bool
}

// Run serves the one job and returns when the coordinator knows its end. An error
// means that it may not. Cancelling ctx is the power going: nothing is reported.
func Run(ctx context.Context, config Config, deps Deps) (Outcome, error) {
	deps = deps.withDefaults()
	s, err := readSettings(config.File)
	if err != nil {
		return Outcome{}, err
	}
	j, err := readJob(s.path(s.JobFile), s.JobID)
	if err != nil {
		return Outcome{}, err
	}
	r := &relay{
		settings: s, job: j, deps: deps, log: deps.Log.With("job", s.JobID), started: time.Now(),
		agent: "paas-relay " + deps.Version, signals: make(chan os.Signal, 8),
	}
	if err := r.open(); err != nil {
		return Outcome{}, err
	}
	defer r.trace.close()
	return r.run(ctx)
}

func (d Deps) withDefaults() Deps {
	if d.Listen == nil {
		d.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if d.Own == nil {
		d.Own = sharesAddress
	}
	if d.Start == nil {
		d.Start = startProcess
	}
	if d.Env == nil {
		d.Env = os.Environ()
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	d.Version = cmp.Or(d.Version, "devel")
	return d
}

// relay is one run.
type relay struct {
	settings *settings
	job      *job
	deps     Deps
	log      *slog.Logger
	agent    string
	started  time.Time
	signals  chan os.Signal // those that came on deps.Stop

	up      *coordinator
	site    func() *site // waits until there is one, or is known to be none
	memory  *memory
	trace   *trace
	clerk   *clerk
	notices *notices
}

// open puts the parts together.
func (r *relay) open() error {
	transport := r.deps.Transport
	if transport == nil {
		own, err := newTransport(r.settings)
		if err != nil {
			return err
		}
		transport = own
	}
	r.deps.Transport = transport
	remembered, err := readState(r.settings.dir)
	if err != nil {
		return err
	}
	r.memory = &memory{dir: r.settings.dir, log: r.log, state: remembered, over: make(chan struct{})}
	base := *r.settings.base
	r.up = &coordinator{
		base: base.String(), job: r.job.id, token: r.job.token, agent: r.agent, transport: transport, health: &health{},
	}
	r.trace, err = openTrace(r.settings.dir, r.up, r.memory, r.log)
	if err != nil {
		return err
	}
	r.trace.prefix = section{size: r.settings.PrefixBytes, crc: r.settings.crc, known: true}
	r.clerk = &clerk{
		settings: r.settings, job: r.job, trace: r.trace, memory: r.memory, log: r.log,
		handed: func() { r.notices.send("handed_out") },
		again:  make(chan struct{}), taken: make(chan struct{}),
	}
	return nil
}

// run goes from boot to the job's end.
func (r *relay) run(ctx context.Context) (Outcome, error) {
	r.notices = newNotices(ctx, r.settings, r.deps.Transport, r.agent, r.log)
	defer r.notices.finish()
	r.notices.send("booted")
	early, stop := context.WithCancel(ctx) // ends with an orderly stop too
	defer stop()
	done := make(chan struct{})
	defer close(done)
	go r.forward(done, stop)

	opened := make(chan *site, 1)
	go func() { opened <- r.openSite(early) }()
	r.site = sync.OnceValue(func() *site { return <-opened })
	end := r.prepare(early)
	place := r.site()
	if end == nil {
		end = r.execute(ctx, early, place)
	}
	place.close(ctx)
	if ctx.Err() != nil {
		return Outcome{}, ctx.Err()
	}
	out, err := r.finish(ctx, *end)
	out.HandedOut = r.memory.now().HandedOut
	if err == nil {
		r.notices.send("finished")
	}
	return out, err
}

// forward takes signals from outside: the first one stops what has not begun yet.
func (r *relay) forward(done <-chan struct{}, stop func()) {
	for {
		select {
		case s, ok := <-r.deps.Stop:
			if !ok {
				return
			}
			stop()
			select {
			case r.signals <- s:
			default: // enough of them wait already
			}
		case <-done:
			return
		}
	}
}

// configCopy is the sub-runner's configuration with the placeholders filled in.
func (r *relay) configCopy() string { return filepath.Join(r.settings.dir, "runner-relay.toml") }
