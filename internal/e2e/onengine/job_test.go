// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// Whatever becomes of a job, in both modes of the sub-runner, beside all the others.
func TestJobs(t *testing.T) {
	t.Parallel()
	n := newTown(t, engine.Options{}, nil)
	t.Run("each", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *place){
			"succeeds": succeeds, "fails": fails, "is cancelled": isCancelled, "within limits": withinLimits,
			"instance killed":              instanceKilled,
			"instance killed, own network": instanceKilledOnOwnNetwork,
			"instance removed":             instanceRemoved,
			"looks around":                 looksAround,
			"keeps secrets":                keepsSecrets,
			"unknown flavor":               unknownFlavor,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				each(t, n, test)
			})
		}
		t.Run("sub-runner killed", func(t *testing.T) {
			t.Parallel()
			subRunnerKilled(t, n.places[0])
		})
	})
	n.clean(t)
}

// succeeds is a job with a service and an artifact, and another that gets it.
func succeeds(t *testing.T, p *place) {
	one := p.queue(t, gitlab.Spec{Script: []string{"echo made by job one > one.txt"}, Artifacts: &gitlab.Artifacts{Paths: []string{"one.txt"}}})
	two := p.queue(t, gitlab.Spec{
		Script: []string{
			"cat one.txt", "echo kept > /kept/by-$CI_JOB_ID",
			"for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do wget -q -O - http://web/ && break; sleep 0.5; done",
			"echo made by job two > two.txt",
		},
		AfterScript: []string{"echo after all"},
		Services:    []gitlab.Image{{Name: "group/web:1", Alias: "web"}}, Dependencies: []int64{one},
		Artifacts: &gitlab.Artifacts{Paths: []string{"two.txt"}},
	})
	if j := p.ends(t, one, "success", ""); len(j.Artifacts) != 1 {
		t.Errorf("artifacts of the first job: %v", j.Artifacts)
	}
	j := p.ends(t, two, "success", "")
	for _, want := range []string{"made by job one", "hello from the service", "after all", "Job succeeded"} {
		if !strings.Contains(j.Trace, want) {
			t.Errorf("no %q in the trace:\n%s", want, j.Trace)
		}
	}
	if len(j.Artifacts) != 1 {
		t.Errorf("artifacts: %v", j.Artifacts)
	}
}

func fails(t *testing.T, p *place) {
	j := p.ends(t, p.script(t, "echo before", "exit 3"), "failed", "script_failure")
	if j.ExitCode == nil || *j.ExitCode != 3 || !strings.Contains(j.Trace, "before") {
		t.Errorf("exit code %v:\n%s", j.ExitCode, j.Trace)
	}
}

func isCancelled(t *testing.T, p *place) {
	at := p.newStop(t)
	job := p.queue(t, gitlab.Spec{
		Script:   []string{"(while :; do echo a line; sleep 1; done) &", at.line()}, // the stand-in hears of it when it sends something
		Services: []gitlab.Image{{Name: "group/web:1", Alias: "web"}},
	})
	at.wait(t, p, job)
	p.gitlab.Cancel(job)
	p.ends(t, job, "canceled", "")
}

// instanceKilled: the sub-runner's container is killed while the job's own live on. The
// job ends with a reason by which it can be tried again.
func instanceKilled(t *testing.T, p *place) {
	killed(t, p, func(job int64) {
		p.Must(t, http.MethodPost, "/containers/"+p.instance(t, job)+"/kill", nil, nil)
	})
}

func instanceKilledOnOwnNetwork(t *testing.T, p *place) {
	killed(t, p, func(job int64) {
		p.Must(t, http.MethodPost, "/containers/"+p.instance(t, job)+"/kill", nil, nil)
	}, "FF_NETWORK_PER_BUILD=true")
}

// instanceRemoved: somebody removes the sub-runner's container by force.
func instanceRemoved(t *testing.T, p *place) {
	killed(t, p, func(job int64) { p.Remove(t, p.instance(t, job)) })
}

func killed(t *testing.T, p *place, kill func(job int64), variables ...string) {
	at := p.newStop(t)
	job := p.queue(t, gitlab.Spec{Script: []string{at.line()}, Services: []gitlab.Image{{Name: "group/web:1", Alias: "web"}}}, variables...)
	at.wait(t, p, job)
	kill(job)
	p.of(t, job, "build") // lives on
	p.ends(t, job, "failed", "runner_system_failure")
}

// subRunnerKilled: the sub-runner alone dies, and the relay tells.
func subRunnerKilled(t *testing.T, p *place) {
	at := p.newStop(t)
	job := p.script(t, at.line())
	at.wait(t, p, job)
	if out, code := p.Exec(t, p.instance(t, job), "killall", "-9", "gitlab-runner"); code != 0 {
		t.Fatal(out)
	}
	p.ends(t, job, "failed", "runner_system_failure")
}

func unknownFlavor(t *testing.T, p *place) {
	job := p.queue(t, gitlab.Spec{Script: []string{"true"}}, "CI_CLEVER_CLOUD_FLAVOR=XXL")
	if j := p.ends(t, job, "failed", "script_failure"); !strings.Contains(j.Trace, "M, L") {
		t.Errorf("the user reads:\n%s", j.Trace)
	}
}

// inspected is what of a container's description limits it.
type inspected struct {
	Config     struct{ Labels map[string]string }
	HostConfig limits
}

type limits struct {
	NanoCpus, Memory, MemorySwap int64
	CgroupParent                 string
}

// withinLimits: what the flavor allows arrives at every container of the instance, before
// what the operator forwards; and so does our label.
func withinLimits(t *testing.T, p *place) {
	at := p.newStop(t)
	job := p.queue(t, gitlab.Spec{
		Script: []string{"echo x > a", at.line()}, Services: []gitlab.Image{{Name: "group/web:1", Alias: "web"}},
		Artifacts: &gitlab.Artifacts{Paths: []string{"a"}},
	}, "CI_CLEVER_CLOUD_FLAVOR=L")
	at.wait(t, p, job)
	s, err := p.status()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Instances {
		if i.Key == p.instance(t, job) && i.Weight != "2" {
			t.Errorf("I3: the instance counts %s", i.Weight)
		}
	}
	p.limited(t, job, "build", "service")
	// the helper that carries the artifact comes and goes: a slow coordinator keeps it
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.limited(t, job, "helper")
	}()
	at.release()
	<-done
	p.ends(t, job, "success", "")
}

func (p *place) limited(t *testing.T, job int64, kinds ...string) {
	t.Helper()
	want := limits{NanoCpus: 5e8, Memory: 96 << 20, MemorySwap: 96 << 20, CgroupParent: p.large()}
	names := []string{p.instance(t, job)}
	for _, kind := range kinds {
		names = append(names, p.of(t, job, kind))
	}
	for _, name := range names {
		var c inspected
		p.Must(t, http.MethodGet, "/containers/"+name+"/json", nil, &c)
		if c.HostConfig != want || c.Config.Labels[keyLabel] != p.owner(t).Key(job) {
			t.Errorf("%s: %+v, labels %v", name, c.HostConfig, c.Config.Labels)
		}
	}
	if slices.Contains(kinds, "build") {
		if out, _ := p.Exec(t, p.of(t, job, "build"), "cat", "/proc/self/cgroup"); !strings.Contains(out, "/large/") {
			t.Errorf("its control group: %s", out)
		}
	}
}
