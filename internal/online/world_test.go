// SPDX-License-Identifier: Apache-2.0

package online_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/online"
	"heptapod-paas-runner/internal/secret"
	sim "heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/memnet"
)

const systemID = "r_0123456789ab"

// world is a simulated coordinator and a simulated cloud on a simulated network.
type world struct {
	t      *testing.T
	net    *memnet.Network
	gitlab *gitlab.Server
	clever *sim.Server
	deps   online.Deps
}

// in runs a test in simulated time.
func in(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: memnet.New(memnet.Config{}), gitlab: gitlab.New(gitlab.Config{URL: "http://gitlab.test"}), clever: sim.New(sim.Config{})}
		var running sync.WaitGroup
		ctx, stop := context.WithCancel(context.Background())
		w.serve(ctx, &running, "gitlab.test", w.gitlab)
		w.serve(ctx, &running, "clever.test", w.clever)
		w.deps = online.Deps{Coordinator: w.coordinator, Provisioner: w.provisioner, SystemID: systemID}
		f(t, w)
		stop()
		w.net.Close()
		running.Wait()
	})
}

func (w *world) serve(ctx context.Context, running *sync.WaitGroup, host string, h http.Handler) {
	l, err := w.net.Listen(host)
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	running.Go(func() { _ = server.Serve(l) })
	running.Go(func() { <-ctx.Done(); _ = server.Close() })
}

func (w *world) coordinator(rc config.Runner) (*coordinator.Client, error) {
	return coordinator.New(coordinator.Config{URL: rc.URL, SystemID: w.deps.SystemID, Transport: w.net.Transport()})
}

func (w *world) provisioner(rc config.Runner) (cloud.Provisioner, error) {
	cc := rc.Clever
	p, err := clever.New(clever.Config{
		APIURL: cc.APIURL, Zone: cc.Zone, DefaultFlavor: cc.DefaultFlavor, Auth: cc.Auth.Scheme, ConsumerKey: cc.Auth.ConsumerKey,
		ConsumerSecret: cc.Auth.ConsumerSecret, OAuthToken: cc.Auth.OAuthToken, OAuthSecret: cc.Auth.OAuthSecret,
	}, clever.Deps{Transport: w.net.Transport()})
	if err != nil {
		return nil, err
	}
	return cloud.NewRetry(p, func() float64 { return 0.5 }, cloud.RetryConfig{}), nil
}

// runner is a section that is all right.
func runner(name string) config.Runner {
	return config.Runner{
		Line: 6, Name: name, URL: "http://gitlab.test", Coordinator: "http://gitlab.test", Token: secret.New(gitlab.RunnerToken),
		Executor: config.ExecutorClever, TraceWatch: config.TraceWatch{Token: secret.New(gitlab.AdminToken)},
		Clever: config.Clever{
			APIURL: "http://clever.test/v2", Zone: "par", DefaultFlavor: "M", MaxFlavor: "XL",
			OrgaID: sim.FirstOrganisation, Token: secret.New(sim.FirstToken),
			OrgaIDAttribute: "cc_orga_id", OrgaTokenAttribute: "cc_orga_token",
		},
	}
}

// manyTenants makes a runner of one organisation one of several.
func manyTenants(rc config.Runner) config.Runner {
	rc.Clever.MultiTenant, rc.Clever.OrgaID, rc.Clever.Token = true, "", secret.String{}
	rc.Clever.NamespaceToken = secret.New(gitlab.AdminToken)
	rc.TraceWatch.Token = secret.String{}
	return rc
}

// file is a configuration of these runners, whose quota is that of the first.
func file(runners ...config.Runner) *config.Config {
	return &config.Config{
		Quota: config.Quota{ReferenceRunner: runners[0].Name, ReferenceFlavor: "M", ReferenceJobs: 2}, Runners: runners,
	}
}

// check asks everything and gives what was found, a line each. It checks that no secret is
// in it and that nothing but questions was asked.
func (w *world) check(cfg *config.Config) []string {
	w.t.Helper()
	var out []string
	for _, f := range online.Check(w.t.Context(), cfg, w.deps) {
		line := fmt.Sprintf("%s: %s", f.Level, f.Text)
		if len(cfg.Runners) > 1 {
			line = f.Runner + ": " + line
		}
		if f.Line == 0 || f.Runner == "" {
			w.t.Errorf("a finding about nothing: %+v", f)
		}
		for _, hidden := range []string{gitlab.RunnerToken, gitlab.AdminToken, sim.FirstToken, "canary"} {
			if strings.Contains(line, hidden) {
				w.t.Errorf("a secret is shown: %s", line)
			}
		}
		out = append(out, line)
	}
	for _, host := range []http.Handler{w.gitlab, w.clever} {
		for _, r := range requests(w.t, host) {
			if r.Method != "GET" && r.Path != "/api/v4/runners/verify" && !strings.HasPrefix(r.Path, "/_sim/") {
				w.t.Errorf("more than a question: %s %s", r.Method, r.Path)
			}
		}
	}
	return out
}

// want compares findings, each by its beginning, in order.
func (w *world) want(what string, got []string, want ...string) {
	w.t.Helper()
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && strings.HasPrefix(got[i], want[i])
	}
	if !same {
		w.t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

type request struct{ Method, Path string }

func requests(t *testing.T, host http.Handler) []request {
	t.Helper()
	var out []request
	control(t, host, "GET", "/_sim/requests", "", &out)
	return out
}

func asked(t *testing.T, host http.Handler, method, path string) bool {
	return slices.Contains(requests(t, host), request{method, path})
}

// control uses a control endpoint, past the network.
func control(t *testing.T, host http.Handler, method, path, body string, into any) {
	t.Helper()
	answer := httptest.NewRecorder()
	host.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	if answer.Code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	if into != nil {
		if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
}

func fault(t *testing.T, host http.Handler, match, more string) {
	t.Helper()
	control(t, host, "POST", "/_sim/faults", `{"match":"`+match+`","times":0,`+more+`}`, nil)
}

func heal(t *testing.T, host http.Handler) {
	t.Helper()
	control(t, host, "DELETE", "/_sim/faults", "", nil)
}

// seen makes the coordinator know a manager of the runner.
func (w *world) seen(systemID string) {
	w.t.Helper()
	rc := runner("seen")
	client, err := w.coordinator(rc)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := client.Verify(w.t.Context(), rc.Token, systemID); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) managers() []string {
	w.t.Helper()
	client, err := w.coordinator(runner("managers"))
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := client.Managers(w.t.Context(), 1, secret.New(gitlab.AdminToken))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range list {
		out = append(out, m.SystemID)
	}
	return out
}
