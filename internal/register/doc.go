// SPDX-License-Identifier: Apache-2.0

// Package register is what both register programs do: it asks for what it is not told,
// registers a runner at its coordinator, and adds the runner to the configuration file. It
// runs no jobs, and asks nothing of a cloud.
//
// The one idea: whatever can fail fails before the coordinator is asked. The file is
// read, the whole new contents are checked with a token that stands in for the real one,
// and the room for them is taken on the disk; what still fails after that is undone.
package register

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/config"
)

// Deps is the world that registering needs.
type Deps struct {
	Console *Console
	Out     io.Writer                        // for the result
	Env     func(name string) (string, bool) // the environment
	Random  io.Reader
	Log     *slog.Logger
	// Transport replaces the client's own, nil = with the options' TLS files.
	Transport http.RoundTripper
}

// Config is what is to be registered.
type Config struct {
	Options
	Program     string // the name under which this runs
	Version     string
	CallTimeout time.Duration // of each call; default 30 s
}

// Registrar registers one runner.
type Registrar struct {
	Deps
	cfg      Config
	file     string         // the configuration
	template map[string]any // the section that is filled up; empty without a template
	systemID string         // for this visit to the coordinator
}

const defaultCallTimeout = 30 * time.Second

// New makes a registrar; it touches nothing yet.
func New(d Deps, c Config) *Registrar {
	c.CallTimeout = cmp.Or(c.CallTimeout, defaultCallTimeout)
	return &Registrar{Deps: d, cfg: c, template: map[string]any{}}
}

// Exit codes, as all commands have them.
const (
	codeFailed      = 1
	codeUsage       = 2
	codeInvalid     = 3
	codeInterrupted = 130
)

// ExitCode gives the exit code of an error of Run.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return codeUsage
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return codeInvalid
	}
	if errors.Is(err, context.Canceled) {
		return codeInterrupted
	}
	return codeFailed
}

// interrupted: somebody pressed Ctrl-C, or SIGTERM came.
type interrupted struct{}

func (interrupted) Error() string { return "interrupted" }

// Is makes it the end of a context, which it is.
func (interrupted) Is(target error) bool { return target == context.Canceled } //nolint:errorlint // that is what Is is for
