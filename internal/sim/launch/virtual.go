// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/subrunner"
)

const noticeTimeout = 10 * time.Second

// Virtual is a [clever.Launcher] that runs no process: relay and sub-runner are
// played by this program, and the script is a wait of SIM_VIRTUAL_SECONDS.
type Virtual struct {
	transport http.RoundTripper
}

var _ clever.Launcher = (*Virtual)(nil)

// NewVirtual makes one. A nil transport is the usual network, with the
// certificate authority that a task names.
func NewVirtual(transport http.RoundTripper) *Virtual { return &Virtual{transport: transport} }

// relayFile is what is read of relay.json.
type relayFile struct {
	Coordinator string `json:"coordinator"`
	Key         string `json:"key"`
	JobFile     string `json:"job_file"`
	RunnerName  string `json:"runner_name"`
	StandIn     string `json:"stand_in_token"`
	PrefixBytes int64  `json:"prefix_bytes"`
	PrefixCRC32 string `json:"prefix_crc32"`
	CAFile      string `json:"ca_file"`
	Notice      *struct {
		URL    string `json:"url"`
		Bearer string `json:"bearer"`
	} `json:"notice"`
}

// Launch implements [clever.Launcher].
func (v *Virtual) Launch(ctx context.Context, task clever.Task) error {
	last := task.Argv[len(task.Argv)-1]
	if path.Base(last) == "relay.json" {
		return v.relay(ctx, task, last)
	}
	if len(task.Argv) > 1 && task.Argv[1] == "exec-fetched-job" {
		return v.fetched(ctx, task, last)
	}
	return fmt.Errorf("play %s: want a relay or exec-fetched-job as the entry point, not %q", task.Name, task.Argv)
}

// relay plays a relay and its sub-runner: the log goes on where its prefix ends.
func (v *Virtual) relay(ctx context.Context, task clever.Task, file string) error {
	var r relayFile
	if err := json.Unmarshal(task.Files[file], &r); err != nil {
		return fmt.Errorf("read relay.json of %s: %w", task.Name, err)
	}
	sum, err := strconv.ParseUint(r.PrefixCRC32, 16, 32)
	if err != nil {
		return fmt.Errorf("read relay.json of %s: prefix_crc32: %w", task.Name, err)
	}
	beside := func(name string) []byte {
		if !path.IsAbs(name) {
			name = path.Join(path.Dir(file), name)
		}
		return task.Files[name]
	}
	transport, done, err := v.connect(r.CAFile, beside)
	if err != nil {
		return fmt.Errorf("play %s: %w", task.Name, err)
	}
	defer done()
	r.notify(ctx, transport, "booted")
	r.notify(ctx, transport, "handed_out")
	err = subrunner.ExecPayload(ctx, subrunner.Options{
		URL: r.Coordinator, Token: r.StandIn, RunnerName: r.RunnerName, Executor: "docker",
		Transport: transport, Shell: subrunner.Virtual{}, Dir: "/",
	}, beside(r.JobFile), r.PrefixBytes, uint32(sum))
	r.notify(ctx, transport, "finished")
	return err
}

// fetched plays `gitlab-runner exec-fetched-job --config F JOB`.
func (v *Virtual) fetched(ctx context.Context, task clever.Task, job string) error {
	var config struct {
		Runners []struct {
			Name, URL, Token string
			CAFile           string `toml:"tls-ca-file"`
		} `toml:"runners"`
	}
	for i, arg := range task.Argv[:len(task.Argv)-1] {
		if arg == "--config" || arg == "-c" {
			if err := toml.Unmarshal(task.Files[task.Argv[i+1]], &config); err != nil {
				return fmt.Errorf("read the runner of %s: %w", task.Name, err)
			}
		}
	}
	if len(config.Runners) != 1 {
		return fmt.Errorf("read the runner of %s: want one [[runners]], got %d", task.Name, len(config.Runners))
	}
	r := config.Runners[0]
	transport, done, err := v.connect(r.CAFile, func(name string) []byte { return task.Files[name] })
	if err != nil {
		return fmt.Errorf("play %s: %w", task.Name, err)
	}
	defer done()
	return subrunner.ExecPayload(ctx, subrunner.Options{
		URL: r.URL, Token: r.Token, RunnerName: r.Name, Executor: "docker",
		Transport: transport, Shell: subrunner.Virtual{}, Dir: "/",
	}, task.Files[job], 0, 0)
}

// connect gives the way to the coordinator, and what to call when it is no longer needed.
func (v *Virtual) connect(caFile string, file func(string) []byte) (http.RoundTripper, func(), error) {
	if v.transport != nil {
		return v.transport, func() {}, nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(file(caFile)) {
			return nil, nil, errors.New("no certificate in " + caFile)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, t.CloseIdleConnections, nil
}

// notify tells the manager how far the job is. It is a hint: nothing depends on it.
func (r *relayFile) notify(ctx context.Context, transport http.RoundTripper, event string) {
	if r.Notice == nil || r.Notice.URL == "" || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"key": r.Key, "event": event})
	if err != nil {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Notice.URL, bytes.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(r.Notice.Bearer))
	req.Header.Set("Content-Type", "application/json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // the answer changes nothing
	_ = resp.Body.Close()
}
