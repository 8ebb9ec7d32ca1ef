// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// ErrInterrupted is the end of a demo that was stopped from outside.
var ErrInterrupted = errors.New("interrupted")

// Config says what to run and where to show it. Program and Relay are required.
type Config struct {
	Program  string // this program: simulators and service are started from it
	Relay    string // paas-relay for this computer
	Out      io.Writer
	Terminal bool   // Out is a terminal
	Width    int    // of the terminal
	Keep     bool   // leave everything running until the context ends
	JSON     string // file for the URLs and ids; "" = none
}

const (
	// jobsWithin is what the jobs get; with start and stop the demo ends in a minute.
	jobsWithin = 45 * time.Second
	lookEvery  = 150 * time.Millisecond
)

// demo is one run.
type demo struct {
	cfg      Config
	dir      string
	screen   *screen
	children []*child // in the order in which they are stopped
	gitlab   remote
	clever   remote
	service  remote
	orders   []order
	ids      []int64 // of the orders, in their order
	canceled map[int64]bool
}

// Run runs the demo and returns nil when every job ended as it should and nothing is
// left. Whatever happens, the processes that it started are stopped.
func Run(ctx context.Context, cfg Config) error {
	// Linux signals the children when the thread that started them ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	dir, err := os.MkdirTemp("", "heptapod-paas-runner-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	d := &demo{cfg: cfg, dir: dir, orders: orders(), canceled: map[int64]bool{}}
	d.screen = &screen{out: cfg.Out, terminal: cfg.Terminal, width: cfg.Width, begun: time.Now(), stages: map[int64]string{}}
	err = d.run(ctx)
	if stopped := d.stop(); err == nil {
		err = stopped
	}
	if err == nil || errors.Is(err, ErrInterrupted) {
		return errors.Join(err, os.RemoveAll(dir))
	}
	d.explain()
	return err
}

func (d *demo) run(ctx context.Context) error {
	err := d.startAll(ctx)
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err != nil {
		return err
	}
	watched, cancel := context.WithTimeout(ctx, jobsWithin)
	defer cancel()
	jobs, err := d.watch(watched)
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	d.screen.table(jobs)
	if err == nil {
		err = d.judge(ctx, jobs)
	}
	if d.cfg.Keep && ctx.Err() == nil {
		if err != nil {
			d.screen.say("%v", err)
		}
		d.screen.say("Everything goes on running; Ctrl-C ends it. Logs are in %s.", d.dir)
		<-ctx.Done()
	}
	return err
}

// startAll starts the simulators, queues the jobs and starts the service.
func (d *demo) startAll(ctx context.Context) error {
	d.screen.say("starting a simulated GitLab and a simulated Clever Cloud")
	gitlab, err := d.start(ctx, "gitlab", "sim", "gitlab", "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	clever, err := d.start(ctx, "clever", "sim", "clever", "--listen", "127.0.0.1:0", "--boot-time", "1200ms", "--repo-delay", "300ms")
	if err != nil {
		return err
	}
	gitlabURL, err := gitlab.url(ctx)
	if err != nil {
		return err
	}
	cleverURL, err := clever.url(ctx)
	if err != nil {
		return err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	d.gitlab, d.clever, d.service = newRemote(gitlabURL), newRemote(cleverURL), newRemote("http://"+address)
	d.screen.say("  GitLab       %s/_sim/jobs\n  Clever Cloud %s/_sim/applications\n  the service  %s/api/v1/status",
		gitlabURL, cleverURL, d.service.url)
	if err := d.queue(ctx); err != nil {
		return err
	}
	d.screen.say("queued %d jobs; starting the service", len(d.ids))
	config := filepath.Join(d.dir, "paas-runner.toml")
	if err := os.WriteFile(config, []byte(d.configuration(address)), 0o600); err != nil {
		return err
	}
	d.screen.begun = time.Now()
	_, err = d.start(ctx, "service", "--log-format", "json", "run", config)
	return err
}

// start starts our own program as a child; the last one started is stopped first.
func (d *demo) start(ctx context.Context, name string, args ...string) (*child, error) {
	c, err := start(ctx, d.dir, name, d.cfg.Program, args...)
	if err != nil {
		return nil, err
	}
	d.children = append([]*child{c}, d.children...)
	return c, nil
}

// queue queues all jobs, and then tells their ids and all URLs to who asked for them.
func (d *demo) queue(ctx context.Context) error {
	for _, o := range d.orders {
		var queued struct {
			ID int64 `json:"id"`
		}
		if err := d.gitlab.call(ctx, "POST", "/_sim/jobs", o.queued(), &queued); err != nil {
			return fmt.Errorf("queue %s: %w", o.name, err)
		}
		d.ids = append(d.ids, queued.ID)
	}
	if d.cfg.JSON == "" {
		return nil
	}
	return writeJSON(d.cfg.JSON, map[string]any{
		"gitlab": d.gitlab.url, "clever": d.clever.url, "service": d.service.url, "jobs": d.ids,
	})
}

// stop stops all children, the service first, and tells what did not stop well.
func (d *demo) stop() error {
	var all []error
	for _, c := range d.children {
		if err := c.halt(); err != nil {
			all = append(all, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	return errors.Join(all...)
}

// explain shows the ends of the logs.
func (d *demo) explain() {
	for _, c := range d.children {
		d.screen.say("--- the end of %s\n%s", c.log, c.tail(20))
	}
}

// freeAddress finds a port that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
