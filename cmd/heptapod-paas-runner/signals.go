// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/manager"
)

// loader reads the configuration as the service was told to.
type loader func() (*config.Config, error)

// listenSignals collects SIGHUP and SIGUSR1 until forget is called. Before that they
// would end the process.
func listenSignals() (signals chan os.Signal, forget func()) {
	signals = make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	return signals, func() { signal.Stop(signals) }
}

// obeySignals reloads the configuration at SIGHUP and writes the state to the log at
// SIGUSR1, until the context ends.
func obeySignals(ctx context.Context, signals <-chan os.Signal, load loader, running config.Config, m *manager.Manager, h *herald, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				dump(m, log)
				continue
			}
			done := h.reloading()
			reload(ctx, load, &running, m, log)
			done()
		}
	}
}

// reload takes a changed configuration over; a bad one changes nothing and says why.
func reload(ctx context.Context, load loader, running *config.Config, m *manager.Manager, log *slog.Logger) {
	cfg, err := load()
	if problems, ok := errors.AsType[*config.Error](err); ok {
		for _, p := range problems.Problems {
			log.Error("the configuration is not reloaded; the service goes on with the old one", "err", p.String())
		}
		return
	}
	if err != nil {
		log.Error("the configuration is not reloaded; the service goes on with the old one", "err", err)
		return
	}
	for _, warning := range cfg.Warnings {
		log.Warn("configuration", "warning", warning)
	}
	if cfg.StateFile != running.StateFile || cfg.ListenAddress != running.ListenAddress || cfg.RelayPath != running.RelayPath {
		log.Warn("state_file, listen_address and paas_relay_path are read at the start only: restart the service for them")
	}
	if err := m.Reload(ctx, cfg); err != nil {
		log.Error("the configuration is not reloaded; the service goes on with the old one", "err", err)
		return
	}
	*running = *cfg
	log.Info("configuration reloaded", "runners", len(cfg.Runners))
}

// dump writes the whole state to the log, secrets redacted.
func dump(m *manager.Manager, log *slog.Logger) {
	text, err := json.Marshal(m.Status())
	if err != nil {
		log.Error("state dump", "err", err)
		return
	}
	log.Info("state", "dump", string(text))
}
