// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/gitpush"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/notify"
	"heptapod-paas-runner/internal/pystate"
	"heptapod-paas-runner/internal/store"
)

// runCmd is `run CONFIG`, and CONFIG alone.
type runCmd struct {
	Config     string `arg:"" name:"CONFIG" help:"The configuration file."`
	deprecated `embed:""`
}

// load reads the configuration, under the options of the command line.
func (c *runCmd) load() (*config.Config, error) {
	cfg, err := config.Load(c.Config)
	if err == nil {
		c.apply(cfg)
	}
	return cfg, err
}

// Help is the text below the flags.
func (*runCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C, and then stops within five seconds; jobs that run go on running on their instances,
and the next start takes care of them. A second signal ends the process at once, which is safe too. SIGHUP reloads the configuration, SIGUSR1 writes the
state to the log.

Examples:

    heptapod-paas-runner /etc/heptapod-runner/paas-runner.toml
    heptapod-paas-runner run --log-level debug --log-format json paas.toml`
}

// Run runs the service until the context ends.
func (c *runCmd) Run(ctx context.Context, line *cli, std streams) (err error) {
	signals, forget := listenSignals() // obeyed once it works
	defer forget()
	cfg, err := c.load()
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(c.Config, "./") {
		err = fmt.Errorf("%w; nor is there a command of this name, --help lists them", err)
	}
	if err != nil {
		return &exitError{codeInvalid, err}
	}
	log := line.logger(std.err, cfg.LogLevel, cfg.LogFormat)
	for _, warning := range c.warnings() {
		log.Warn("command line", "warning", warning)
	}
	for _, warning := range cfg.Warnings {
		log.Warn("configuration", "warning", warning)
	}
	relay, err := relayBinary(cfg)
	if err != nil {
		return &exitError{codeInvalid, err}
	}
	ledger, err := store.Open(ctx, store.Config{Path: cfg.StateFile, Release: version(), Import: importer(cfg)})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop before it had begun
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return &exitError{codeInvalid, err} // state_file names a place that can't be used
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	return c.serve(ctx, cfg, ledger, relay, log, signals)
}

// serve joins the parts and works until the context ends.
func (c *runCmd) serve(ctx context.Context, cfg *config.Config, ledger *store.Store, relay []byte, log *slog.Logger, signals <-chan os.Signal) error {
	if err := pystate.Settle(context.WithoutCancel(ctx), ledger, cfg.Runners, time.Now(), log); err != nil {
		return err
	}
	m, err := newManager(ctx, cfg, ledger, relay, log)
	if err != nil {
		return &exitError{codeInvalid, err}
	}
	listener, err := listenStatus(ctx, cfg.ListenAddress)
	if err != nil {
		return err
	}
	socket, err := notify.Open(ctx, os.Getenv)
	if err != nil {
		log.Warn("the service manager is not told how the service is", "err", err)
	}
	defer func() { _ = socket.Close() }()
	h := newHerald(socket, m, log)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	if listener != nil {
		server := api.New(api.Config{Listen: cfg.ListenAddress, Version: version(), Log: log, Token: cfg.ListenToken}, source{m})
		group.Go(func() error { return server.Serve(ctx, listener) })
	}
	group.Go(func() error { return obeySignals(ctx, signals, c.load, *cfg, m, h, log) })
	group.Go(func() error { return h.Run(ctx) })
	group.Go(func() error {
		defer stop() // the manager may end by itself
		return m.Run(ctx)
	})
	return group.Wait()
}

// importer takes over the state file of the Python program, when that stands where the
// ledger shall be.
func importer(cfg *config.Config) store.Importer {
	return func(old []byte, backup string) (store.Change, error) {
		return pystate.Import(old, pystate.Config{Runners: cfg.Runners, Now: time.Now(), Random: rand.Reader, Backup: backup})
	}
}

// newManager joins the adapters.
func newManager(ctx context.Context, cfg *config.Config, ledger *store.Store, relay []byte, log *slog.Logger) (*manager.Manager, error) {
	id, err := manager.SystemID(ctx, ledger, rand.Reader)
	if err != nil {
		return nil, err
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	clients := manager.Clients{Version: version(), SystemID: id, Jitter: mathrand.Float64, Packs: &gitpush.Cache{}}
	return manager.New(cfg, manager.Deps{
		Ledger: ledger, Log: log, Version: version(),
		Coordinator: clients.Coordinator,
		Provisioner: clients.Provisioner,
		RelayBinary: relay,
		Random:      rand.Reader,
		Seed:        binary.NativeEndian.Uint64(seed[:]),
	})
}

// listenStatus opens the status listener, nil when none is configured. It is opened
// before the service works, so that an address in use is a failed start.
func listenStatus(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no listener is what the operator asked for
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen_address: %w", err)
	}
	return l, nil
}

// relayBinary reads the relay that goes to the instances; nil when no runner pushes it.
func relayBinary(cfg *config.Config) ([]byte, error) {
	pushes := slices.ContainsFunc(cfg.Runners, func(r config.Runner) bool { return cmp.Or(r.SubRunner, "relay") == "relay" })
	if !pushes || cfg.RelayImage != "" {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	path, err := findRelay(self, cfg.RelayPath)
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the relay: %w", err)
	}
	return binary, nil
}
