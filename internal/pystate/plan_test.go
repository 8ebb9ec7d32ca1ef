// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/store"
)

func runner(t testing.TB, name, token, url string, many bool) config.Runner {
	t.Helper()
	owner, err := fleet.OwnerOf(token, url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Runner{Name: name, Token: secret.New(token), URL: url, Coordinator: url, Owner: owner, Executor: config.ExecutorClever, Clever: config.Clever{MultiTenant: many}}
}

func settings(t testing.TB) Config {
	t.Helper()
	return Config{
		Runners: []config.Runner{
			runner(t, "single", "D3adNQYu8OCjkYDbwDaG", "https://heptapod.example.com", false),
			runner(t, "many", "glrt-abcdefghijkl", "https://gitlab.example.com", true),
		},
		Now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Random: rand.NewChaCha8([32]byte{1}), Backup: "/var/lib/p/state.json.python-20261120T090000Z",
	}
}

// rows writes the records down as a table.
func rows(change store.Change) string {
	var b strings.Builder
	for _, j := range change.Jobs {
		fmt.Fprintf(&b, "job %d %s %s acked %d frozen %v payload %v group %q timeout %s\n", j.ID, j.Runner, j.State, j.PrefixAcked, j.PrefixFrozen, len(j.Payload) > 0, j.Namespace, j.Timeout)
	}
	for _, i := range change.Instances {
		fmt.Fprintf(&b, "%s %s of job %d, %s, weight %s, group %q, started %v, handle %s\n", i.Key, i.Runner, i.Job.ID, i.State, i.Weight, i.Namespace, i.Started, i.Handle)
	}
	return b.String()
}

func plan(t *testing.T, name string, c Config) store.Change {
	t.Helper()
	s, err := Parse(testdata(t, name))
	if err != nil {
		t.Fatal(err)
	}
	change, err := Plan(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"0.5.json": `job 101 single starting acked 0 frozen true payload false group "" timeout 24h0m0s
job 102 single acquired acked 0 frozen false payload true group "" timeout 30m0s
hpd-job-D3adNQYu-101 single of job 101, started, weight 13.454, group "", started true, handle {"app_id":"app_11111111-1111-1111-1111-111111111111","org":""}
hpd-job-D3adNQYu-102 single of job 102, unknown, weight 76.109, group "", started true, handle 
`,
		"0.6.json": `job 201 single starting acked 0 frozen true payload false group "" timeout 24h0m0s
job 202 many starting acked 0 frozen true payload false group "tenant-one" timeout 24h0m0s
job 203 gone-gon starting acked 0 frozen true payload false group "" timeout 24h0m0s
job 204 single starting acked 0 frozen true payload true group "" timeout 1h0m0s
job 205 single starting acked 0 frozen true payload false group "" timeout 1h0m0s
job 206 single failing acked 93 frozen true payload false group "" timeout 1h0m0s
job 207 single failing acked 0 frozen true payload false group "" timeout 24h0m0s
job 208 many acquired acked 0 frozen false payload true group "tenant-two" timeout 10m0s
job 209 single failing acked 12 frozen true payload false group "" timeout 24h0m0s
job 210 single failing acked 12 frozen true payload false group "" timeout 24h0m0s
hpd-job-D3adNQYu-201 single of job 201, started, weight 5.657, group "", started true, handle {"app_id":"app_201","org":""}
hpd-job-glrt-abc-202 many of job 202, started, weight 32, group "tenant-one", started true, handle {"app_id":"app_202","org":""}
hpd-job-gone-gon-203 gone-gon of job 203, started, weight 2.378, group "", started true, handle {"app_id":"app_203","org":""}
hpd-job-D3adNQYu-204 single of job 204, created, weight 13.454, group "", started true, handle {"app_id":"app_204","org":""}
hpd-job-D3adNQYu-205 single of job 205, started, weight 13.454, group "", started true, handle {"app_id":"app_205","org":""}
hpd-job-D3adNQYu-206 single of job 206, unknown, weight 13.454, group "", started true, handle 
hpd-job-D3adNQYu-207 single of job 207, unknown, weight 13.454, group "", started true, handle 
hpd-job-glrt-abc-208 many of job 208, unknown, weight 2.378, group "tenant-two", started true, handle 
hpd-job-D3adNQYu-209 single of job 209, deleting, weight 13.454, group "", started true, handle {"app_id":"app_209","org":""}
`,
		"0.8.json": `job 301 single starting acked 0 frozen true payload false group "" timeout 24h0m0s
job 302 single failing acked 0 frozen true payload false group "" timeout 24h0m0s
job 303 single failing acked 0 frozen true payload false group "" timeout 24h0m0s
job 304 single failing acked 0 frozen true payload false group "" timeout 24h0m0s
hpd-job-D3adNQYu-301 single of job 301, started, weight 5.657, group "", started true, handle {"app_id":"app_301","org":""}
hpd-job-D3adNQYu-304 single of job 304, started, weight 5.657, group "", started true, handle {"app_id":"app_304","org":""}
hpd-job-D3adNQYu-305 single of job 0, deleting, weight 5.657, group "", started true, handle {"app_id":"app_305","org":""}
`,
	} {
		if diff := cmp.Diff(want, rows(plan(t, name, settings(t)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every record is one that the ledger takes, each with its own nonce and number.
func TestPlansAreWhole(t *testing.T) {
	t.Parallel()
	change := plan(t, "0.6.json", settings(t))
	nonces := map[string]bool{}
	for i, j := range change.Jobs {
		nonces[j.Nonce.Reveal()] = true
		if j.Seq != int64(i+1) || j.Token.Empty() || j.Coordinator == "" || j.AcquiredAt.IsZero() || j.State == fleet.JobFailing && j.FailureText == "" {
			t.Errorf("job %+v", j)
		}
	}
	if len(nonces) != len(change.Jobs) {
		t.Errorf("%d nonces for %d jobs", len(nonces), len(change.Jobs))
	}
	for _, i := range change.Instances {
		if i.Provisioner != "" {
			t.Errorf("%s would be acted upon before it is looked at", i.Key)
		}
	}
	if strings.Contains(change.Meta[reportKey], "CANARY") {
		t.Error("the report holds a secret")
	}
}

// Two runners with the same first 8 characters are told apart by what the job says, and
// refused when that does not help.
func TestAmbiguousRunners(t *testing.T) {
	t.Parallel()
	c := settings(t)
	c.Runners = append(c.Runners, runner(t, "other", "D3adNQYuXXXXXXXX", "https://other.example.com", false))
	c.Runners[2].Line = 40
	s, err := Parse(testdata(t, "0.5.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Plan(s, c)
	want := `launched: job 101: several runners may be meant by "D3adNQYu": "other" (line 40), "single" (line 0); `
	if !errors.Is(err, errAmbiguous) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	s.Launched = nil // what is left names its server
	change, err := Plan(s, c)
	if err != nil || change.Jobs[0].Runner != "single" {
		t.Errorf("%+v, %v", change.Jobs, err)
	}
	c.Runners[0].Coordinator = "https://third.example.com"
	if change, err = Plan(s, c); err != nil || !strings.HasPrefix(string(change.Jobs[0].Owner), absent) {
		t.Errorf("neither is the job's: %+v, %v", change.Jobs, err)
	}
	c.Runners[2].Clever.MultiTenant = true
	if s, err = Parse(testdata(t, "0.5.json")); err != nil {
		t.Fatal(err)
	}
	s.Pending = nil
	if change, err = Plan(s, c); err != nil || change.Jobs[0].Runner != "single" {
		t.Errorf("the instance of a single tenant: %+v, %v", change.Jobs, err)
	}
}

// A job in two lists is one job; with two resources the file can't be right.
func TestDoubles(t *testing.T) {
	t.Parallel()
	s, err := Parse(testdata(t, "0.6.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.ToDecommission = append(s.ToDecommission, s.Launched[0])
	if change, err := Plan(s, settings(t)); err != nil || len(change.Jobs) != 10 || change.Jobs[0].State != fleet.JobStarting {
		t.Errorf("%d jobs, %v", len(change.Jobs), err)
	}
	other := *s.Launched[0].Resource
	other.ID = "app_other"
	s.ToDecommission[2].Resource = &other
	if _, err := Plan(s, settings(t)); err == nil || !strings.Contains(err.Error(), `job 201 of "D3adNQYu" stands in two lists, with two resources ("app_201" and "app_other")`) {
		t.Errorf("got %v", err)
	}
}
