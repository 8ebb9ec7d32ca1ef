// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"
)

const (
	checkInterval   = 3 * time.Second
	unhealthyPause  = 300 * time.Second
	fallbackSystem  = "s_simulate0000"
	systemIDDigits  = 12
	machineIDSource = "/etc/machine-id"
)

// Options say what to run and where. The zero value of each field is a default.
type Options struct {
	ConfigFile string // with a [[runners]] section; "" = URL, Token and Executor below
	RunnerName string // which one; "" = the only one
	URL        string
	Token      string
	Executor   string

	MaxBuilds   int           // 0 = no limit
	WaitTimeout time.Duration // leave when no job came for so long; 0 = never

	Transport http.RoundTripper // nil = the configuration's own
	Shell     Shell             // nil = Real
	Dir       string            // the builds folder goes here; "" = the working directory
	Log       *slog.Logger      // nil = nothing is logged

	Quit      <-chan struct{} // closed: finish the running job, then leave (SIGQUIT)
	Terminate <-chan struct{} // closed: abort the running job, then leave (SIGTERM)
}

// RunSingle asks for jobs and runs them until it has run enough, was told to
// stop, or got none for too long. All of these are no error: as with
// gitlab-runner, how a job ended is not known from here. A cancelled context is
// the end of the machine: nothing is sent after it.
func RunSingle(ctx context.Context, o Options) error {
	s, c, err := o.open()
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	asking, stop := o.whileWanted(ctx)
	defer stop()
	lastUpdate, since, builds := "", time.Now(), 0
	for {
		answer := c.request(asking, s.Token, lastUpdate)
		lastUpdate = cmp.Or(answer.update, lastUpdate)
		pause := checkInterval
		switch answer.status {
		case http.StatusCreated:
			p, err := parsePayload(answer.body)
			if err != nil {
				o.Log.Error("job was not readable", "err", err)
				break
			}
			o.Log.Info("job received", "job", p.ID)
			result := runJob(ctx, c, s, p, newTrace(p, 0, 0, s.OutputLimit<<10), o)
			o.Log.Info("job ended", "job", p.ID, "state", result.state, "reason", result.reason, "exit_code", result.exitCode)
			builds, since = builds+1, time.Now()
		case http.StatusForbidden:
			pause = unhealthyPause
			o.Log.Error("asking for a job is forbidden")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if asking.Err() != nil || o.MaxBuilds > 0 && builds >= o.MaxBuilds {
			return nil
		}
		if o.WaitTimeout > 0 {
			left := o.WaitTimeout - time.Since(since)
			if left <= 0 {
				o.Log.Info("no job came in time")
				return nil
			}
			pause = min(pause, left)
		}
		if !sleep(asking, pause) && ctx.Err() == nil {
			return nil
		}
	}
}

// ExecFetchedJob runs a job that somebody else acquired, given as the payload
// that the coordinator answered with.
func ExecFetchedJob(ctx context.Context, o Options, file string) error {
	s, c, err := o.open()
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	p, err := parsePayload(raw)
	if err != nil {
		return err
	}
	result := runJob(ctx, c, s, p, newTrace(p, 0, 0, s.OutputLimit<<10), o)
	o.Log.Info("job ended", "job", p.ID, "state", result.state, "reason", result.reason, "exit_code", result.exitCode)
	return ctx.Err()
}

// ExecPayload runs an acquired job whose log already has a beginning of base
// bytes with the checksum baseSum, as a relay and its sub-runner do together.
func ExecPayload(ctx context.Context, o Options, payload []byte, base int64, baseSum uint32) error {
	s, c, err := o.open()
	if err != nil {
		return err
	}
	p, err := parsePayload(payload)
	if err != nil {
		return err
	}
	runJob(ctx, c, s, p, newTrace(p, base, baseSum, s.OutputLimit<<10), o)
	return ctx.Err()
}

// open fills in the defaults and reads the configuration.
func (o *Options) open() (section, *client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shell == nil {
		o.Shell = Real{}
	}
	if o.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return section{}, nil, fmt.Errorf("find the working directory: %w", err)
		}
		o.Dir = dir
	}
	s := section{Name: o.RunnerName, URL: o.URL, Token: o.Token, Executor: o.Executor}
	if o.ConfigFile != "" {
		var err error
		if s, err = readSection(o.ConfigFile, o.RunnerName); err != nil {
			return section{}, nil, err
		}
	}
	if err := s.complete(); err != nil {
		return section{}, nil, err
	}
	transport := o.Transport
	if transport == nil {
		var err error
		if transport, err = s.transport(); err != nil {
			return section{}, nil, err
		}
	}
	c := &client{base: s.URL, http: &http.Client{Transport: transport}, executor: s.Executor, systemID: systemID()}
	return s, c, nil
}

// whileWanted gives a context that ends when no further job is wanted.
func (o *Options) whileWanted(ctx context.Context) (context.Context, context.CancelFunc) {
	asking, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-o.Quit:
		case <-o.Terminate:
		case <-asking.Done():
		}
		stop()
	}()
	return asking, stop
}

// systemID names this computer, always the same.
func systemID() string {
	id, err := os.ReadFile(machineIDSource)
	if err != nil || len(id) == 0 {
		return fallbackSystem
	}
	sum := sha256.Sum256(id)
	return "s_" + hex.EncodeToString(sum[:])[:systemIDDigits]
}

// errUsage: the command line makes no sense.
var errUsage = errors.New("usage")
