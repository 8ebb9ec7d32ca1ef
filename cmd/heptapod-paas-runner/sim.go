// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/launch"
)

// simCmd is `sim`.
type simCmd struct {
	Gitlab simGitlabCmd `cmd:"" help:"A GitLab with jobs that you queue over HTTP."`
	Clever simCleverCmd `cmd:"" help:"A Clever Cloud whose instances are processes of this computer."`
}

// Help is the text below the flags.
func (*simCmd) Help() string {
	return `Both print 'listening on http://HOST:PORT' as their first line and stop at SIGTERM or Ctrl-C. They speak the real
protocols, and are controlled under /_sim/. They listen on this computer only: whoever reaches them can run
programs here.

Examples:

    heptapod-paas-runner sim gitlab --listen 127.0.0.1:8080
    heptapod-paas-runner sim clever --listen 127.0.0.1:8081 --boot-time 20s`
}

// serverFlags are what both servers share.
type serverFlags struct {
	Listen string `default:"127.0.0.1:0" placeholder:"ADDR" help:"Loopback address to listen on; port 0 picks a free one (default: ${default})."`
	TLS    bool   `name:"tls" help:"Serve https with a certificate made for this run, printed as PEM after the first line."`
	Seed   uint64 `default:"1" help:"Seed of everything random (default: ${default})."`
}

// simGitlabCmd is `sim gitlab`.
type simGitlabCmd struct {
	serverFlags `embed:""`
	LongPoll    time.Duration `default:"50s" help:"How long a job request with last_update is held (default: ${default})."`
	DropSilent  time.Duration `default:"30m" help:"A running job that is silent for so long fails (default: ${default})."`
	DropLate    time.Duration `default:"15m" help:"A job that goes on for so long after its timeout fails (default: ${default})."`
}

// Help is the text below the flags.
func (*simGitlabCmd) Help() string {
	return `The runner token is sim-runner-token, the administrator's sim-admin-token.

Examples:

    heptapod-paas-runner sim gitlab --listen 127.0.0.1:8080
    curl -d '{"script":["echo hello"],"variables":{"CI_CLEVER_CLOUD_FLAVOR":"S"}}' http://127.0.0.1:8080/_sim/jobs
    curl http://127.0.0.1:8080/_sim/jobs/100001`
}

// Run serves until the context ends.
func (c *simGitlabCmd) Run(ctx context.Context, std streams) error {
	return c.serve(ctx, std, func(url string) (simulator, error) {
		return gitlab.New(gitlab.Config{
			URL: url, LongPoll: c.LongPoll, DropSilent: c.DropSilent, DropLate: c.DropLate, Seed: c.Seed,
		}), nil
	})
}

// simCleverCmd is `sim clever`.
type simCleverCmd struct {
	serverFlags  `embed:""`
	BootTime     time.Duration `help:"How long an instance boots (default: 0s)."`
	RepoDelay    time.Duration `help:"How long a new application has no deployment repository (default: 0s)."`
	TaskState    string        `enum:"task_running,wip" default:"task_running" help:"What v2 of the API calls the deployment of a running task: task_running or wip (default: ${default})."`
	SubRunner    string        `enum:"process,virtual" default:"process" help:"process runs each job for real, virtual only plays it (default: ${default})."`
	GitlabRunner string        `placeholder:"PATH" help:"A stock gitlab-runner for the instances to run (default: the one in PATH, else our own small one)."`
}

// Help is the text below the flags.
func (*simCleverCmd) Help() string {
	return `The organisation is orga_sim, its token sim-cc-token; docs/simulators.md lists the credentials by other schemes.
What is pushed to an application's repository is really run, as a process of this computer.

Examples:

    heptapod-paas-runner sim clever --listen 127.0.0.1:8081 --boot-time 2s
    curl http://127.0.0.1:8081/_sim/applications
    curl -d '{"stale_lists_seconds":5}' http://127.0.0.1:8081/_sim/world`
}

// Run serves until the context ends, and ends what its instances run.
func (c *simCleverCmd) Run(ctx context.Context, line *cli, std streams) error {
	log := line.logger(std.err, "warn", "")
	return c.serve(ctx, std, func(url string) (simulator, error) {
		launcher, err := c.launcher(log)
		if err != nil {
			return nil, err
		}
		return clever.New(clever.Config{
			URL: url, BootTime: c.BootTime, RepoDelay: c.RepoDelay, TaskState: c.TaskState, Launcher: launcher, Seed: c.Seed, Log: log,
			Listens: c.listens(),
		}), nil
	})
}

func (c *simCleverCmd) launcher(log *slog.Logger) (clever.Launcher, error) {
	if c.SubRunner == "virtual" {
		return launch.NewVirtual(nil), nil
	}
	return launch.New(launch.Config{GitlabRunner: c.GitlabRunner, Log: log})
}

// listens looks whether something listens on a port of this computer; nothing does for
// jobs that are only played.
func (c *simCleverCmd) listens() func(context.Context, string) bool {
	if c.SubRunner == "virtual" {
		return nil
	}
	return func(ctx context.Context, port string) bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was sent
		return true
	}
}

// simulator is one of the two pretend servers.
type simulator interface {
	http.Handler
	Run(ctx context.Context) error
}

// serve listens, says where, and serves until the context ends.
func (f *serverFlags) serve(ctx context.Context, std streams, build func(url string) (simulator, error)) error {
	listener, scheme, pem, err := f.listen(ctx)
	if err != nil {
		return err
	}
	url := scheme + "://" + listener.Addr().String()
	sim, err := build(url)
	if err != nil {
		_ = listener.Close() // the error to tell is the other one
		return err
	}
	if _, err := io.WriteString(std.out, "listening on "+url+"\n"+pem); err != nil {
		return err
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sim.Run(ctx) })
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close() // requests that are held would keep a graceful stop waiting
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen opens the address; with --tls it gives the certificate as PEM too.
func (f *serverFlags) listen(ctx context.Context) (l net.Listener, scheme, pem string, err error) {
	if err := onLoopback(f.Listen); err != nil {
		return nil, "", "", &exitError{codeUsage, fmt.Errorf("--listen %s: %w", f.Listen, err)}
	}
	l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return nil, "", "", fmt.Errorf("listen on %s: %w", f.Listen, err)
	}
	if !f.TLS {
		return l, "http", "", nil
	}
	secure, pem, err := withCertificate(l)
	if err != nil {
		_ = l.Close() // the error to tell is the other one
		return nil, "", "", err
	}
	return secure, "https", pem, nil
}

// onLoopback refuses addresses that others could reach.
func onLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return errors.New("a simulator listens on a loopback address only, such as 127.0.0.1:0")
	}
	return nil
}
