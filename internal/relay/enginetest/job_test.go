// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// tests is a group of tests on one engine.
type tests map[string]func(*testing.T, *place)

func TestOnARealEngine(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	p := buildPrograms(t)
	for name, group := range map[string]struct {
		options engine.Options
		tests   tests
	}{
		"plain": {engine.Options{MTU: 1450}, tests{
			"whole job":                 func(t *testing.T, w *place) { wholeJob(t, w, "false", wish{}) },
			"whole job, own network on": func(t *testing.T, w *place) { wholeJob(t, w, "true", wish{}) },
			"network":                   networkOfTheJob,
			"subnet":                    subnet,
			"started elsewhere":         startedElsewhere,
			"host network":              hostNetwork,
			"coordinator by name":       coordinatorByName,
			"hostname overridden":       hostnameOverridden,
			"own id by control group":   idByControlGroup,
			"own id by hostname":        idByHostname,
			"no socket":                 noSocket,
			"dead socket":               deadSocket,
			"stopped":                   stopped,
			"canceled":                  canceled,
			"sub-runner killed":         subRunnerKilled,
			"sibling asks":              siblingAsks,
			"sibling holds":             siblingHolds,
			"job reaches":               jobReaches,
			"metadata":                  metadata,
		}},
		"user namespaces": {engine.Options{Remap: true}, tests{
			"socket not permitted": socketNotPermitted,
			"as the host's user": func(t *testing.T, w *place) {
				wholeJob(t, w, "true", wish{host: map[string]any{"UsernsMode": "host"}})
			},
		}},
		"user namespaces, socket for them": {engine.Options{Remap: true}, tests{"whole job": socketForRemappedRoot}},
		"closed": {engine.Options{Closed: true}, tests{
			"whole job":                 func(t *testing.T, w *place) { wholeJob(t, w, "false", wish{}) },
			"whole job, own network on": func(t *testing.T, w *place) { wholeJob(t, w, "true", wish{}) },
		}},
		"killed":  {engine.Options{}, tests{"next start": leftoversGo}},
		"started": {engine.Options{}, tests{"again": startedAgain}},
		"engine":  {engine.Options{}, tests{"dies": engineDies}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPlace(t, p, group.options)
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, w)
				})
			}
		})
	}
}

// wholeJob is a job with all that goes through the relay and past it: an artifact up,
// then in another job the same one down, a service by its two names, and up again.
func wholeJob(t *testing.T, w *place, ownNetwork string, o wish) {
	flag := map[string]gitlab.Variable{"FF_NETWORK_PER_BUILD": {Value: ownNetwork}, "GIT_STRATEGY": {Value: "none"}}
	one := w.boot(t, gitlab.Spec{
		Script: []string{"echo made by job one > one.txt"}, Variables: flag,
		Artifacts: &gitlab.Artifacts{Paths: []string{"one.txt"}},
	}, o)
	if j := one.succeed(t); len(j.Artifacts) != 1 {
		t.Fatalf("the coordinator has these artifacts of the first job: %v", j.Artifacts)
	}
	at := w.newStop(t)
	two := w.boot(t, gitlab.Spec{
		Script: []string{
			"cat one.txt",
			"for name in group-web group__web web; do",
			"  for try in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://$name/ && break; sleep 0.2; done",
			"done",
			"echo made by job two > two.txt",
			at.line(),
		},
		AfterScript: []string{"echo after all"},
		Services:    []gitlab.Image{{Name: "group/web:1", Alias: "web"}}, Dependencies: []int64{one.job}, Variables: flag,
		Artifacts: &gitlab.Artifacts{Paths: []string{"two.txt"}},
	}, o)
	at.wait(t, two)
	if left := two.left(t); slices.ContainsFunc(left, func(name string) bool { return strings.HasSuffix(name, "-network") }) {
		t.Errorf("the sub-runner made a network of its own: %q", left)
	}
	at.release()
	j := two.succeed(t)
	for _, want := range []string{"made by job one", "after all"} {
		if !strings.Contains(j.Trace, want) {
			t.Errorf("no %q in the trace:\n%s", want, j.Trace)
		}
	}
	if n := strings.Count(j.Trace, "hello from the service"); n != 3 {
		t.Errorf("the service answered under %d of its 3 names:\n%s", n, j.Trace)
	}
	if len(j.Artifacts) != 1 || j.Artifacts[0].Filename == "" {
		t.Errorf("artifacts %v", j.Artifacts)
	}
}

// fails waits for the end of a job that could not be begun, and checks what its user reads.
func (i *instance) fails(t *testing.T, says string) {
	t.Helper()
	j := i.end(t)
	if j.Status != "failed" || reason(j) != "runner_system_failure" {
		t.Errorf("the job ended %s (%s), want failed (runner_system_failure)", j.Status, reason(j))
	}
	if !strings.Contains(j.Trace, says) || strings.Contains(says, "not be made ready") && strings.Contains(j.Trace, "handed") {
		t.Errorf("the user reads this, want %q in it:\n%s", says, j.Trace)
	}
	i.nothingLeft(t)
}

func trivial(lines ...string) gitlab.Spec {
	return gitlab.Spec{
		Script: append([]string{"echo here"}, lines...), Variables: map[string]gitlab.Variable{"GIT_STRATEGY": {Value: "none"}},
	}
}

// A stopped instance ends its job in an orderly way.
func stopped(t *testing.T, w *place) {
	at := w.newStop(t)
	i := w.boot(t, trivial(at.line()), wish{})
	at.wait(t, i)
	w.Must(t, http.MethodPost, "/containers/"+i.id+"/stop?t=50", nil, nil)
	if j := i.now(); j.Status != "failed" || reason(j) != "runner_system_failure" || !strings.Contains(j.Trace, "Running with gitlab-runner") {
		t.Errorf("the job is %s (%s):\n%s", j.Status, reason(j), j.Trace)
	}
	i.nothingLeft(t)
}

func canceled(t *testing.T, w *place) {
	at := w.newStop(t)
	// What it writes is answered with the news of its cancel.
	i := w.boot(t, trivial("echo something to say", at.line(), "while :; do echo one more line; sleep 1; done"), wish{})
	at.wait(t, i)
	at.release()
	w.gitlab.Cancel(i.job)
	if j := i.end(t); j.Status != "canceled" {
		t.Errorf("the job is %s:\n%s", j.Status, j.Trace)
	}
	i.nothingLeft(t)
}

// A sub-runner that is killed leaves its containers: the relay says so to the user and
// removes them.
func subRunnerKilled(t *testing.T, w *place) {
	at := w.newStop(t)
	spec := trivial(at.line())
	spec.Services = []gitlab.Image{{Name: "group/web:1"}}
	i := w.boot(t, spec, wish{docker: map[string]any{"volumes": []string{"/cache"}}})
	at.wait(t, i)
	if text, code := i.Exec(t, i.id, "sh", "-c", "kill -KILL $(pidof gitlab-runner)"); code != 0 {
		t.Fatalf("kill the sub-runner: %d: %s", code, text)
	}
	i.fails(t, "gitlab-runner ended (signal: killed) without reporting the job's result.")
}

// The engine dies while a job runs: its user reads why the job ended.
func engineDies(t *testing.T, w *place) {
	at := w.newStop(t)
	i := w.boot(t, trivial(at.line()), wish{})
	at.wait(t, i)
	w.Stun(t)
	at.release()
	eventually(t, func() bool { return i.now().FinishedAt != nil }, func() string { return "the job does not end:\n" + i.now().Trace })
	j := i.now()
	if j.Status != "failed" || reason(j) != "runner_system_failure" || !strings.Contains(strings.ToLower(j.Trace), "cannot connect to the docker daemon") {
		t.Errorf("the job ended %s (%s):\n%s", j.Status, reason(j), j.Trace)
	}
}

// leftoversGo: what a killed relay left goes when the next one starts on the same
// engine; a relay that is at work and what belongs to others are left in peace.
func leftoversGo(t *testing.T, w *place) {
	atWork := w.newStop(t)
	working := w.boot(t, trivial(atWork.line()), wish{})
	atWork.wait(t, working)
	other := w.Run(t, "somebody-elses", map[string]any{
		"Image": "job:1", "Cmd": []string{"sleep", "1000"}, "Labels": map[string]string{"com.gitlab.gitlab-runner.managed": "true"},
	})
	w.Must(t, http.MethodPost, "/volumes/create", map[string]any{
		"Name": "somebody-elses", "Labels": map[string]string{"com.gitlab.gitlab-runner.managed": "true"},
	}, nil)

	before := w.newStop(t)
	spec := trivial(before.line())
	spec.Services = []gitlab.Image{{Name: "group/web:1"}}
	killed := w.boot(t, spec, wish{docker: map[string]any{"volumes": []string{"/cache"}}})
	before.wait(t, killed)
	w.Must(t, http.MethodPost, "/containers/"+killed.id+"/kill?signal=KILL", nil, nil)
	if left := killed.left(t); len(left) < 5 { // build, service, network, two volumes
		t.Fatalf("a killed relay leaves only %q", left)
	}

	w.boot(t, trivial(), wish{}).succeed(t)
	killed.nothingLeft(t)
	if w.gone(t, "/containers/"+other+"/json") || w.gone(t, "/volumes/somebody-elses") {
		t.Error("what belongs to somebody else is gone")
	}
	atWork.release()
	working.succeed(t)
}

// startedAgain: a killed instance that its platform starts again ends the job, which
// is never begun twice, and removes what was left.
func startedAgain(t *testing.T, w *place) {
	at := w.newStop(t)
	spec := trivial(at.line())
	spec.Services = []gitlab.Image{{Name: "group/web:1"}}
	i := w.boot(t, spec, wish{docker: map[string]any{"volumes": []string{"/cache"}}})
	at.wait(t, i)
	w.Must(t, http.MethodPost, "/containers/"+i.id+"/kill?signal=KILL", nil, nil)
	w.Must(t, http.MethodPost, "/containers/"+i.id+"/start", nil, nil)
	i.fails(t, "The instance was restarted while the job ran. A job is never begun twice.")
}

// events gives what the engine did since a time, oldest first, as "type action name".
func (w *place) events(t *testing.T, since time.Time, of map[string]string) []string {
	t.Helper()
	var text []byte
	w.Must(t, http.MethodGet, fmt.Sprintf("/events?since=%d&until=%d", since.Unix()-1, time.Now().Unix()+1), nil, &text)
	var out []string
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type, Action string
			Actor        struct {
				ID         string
				Attributes map[string]string
			}
		}
		decode(t, line, &e)
		id := e.Actor.ID
		if c, ok := e.Actor.Attributes["container"]; ok {
			id += " " + c
		}
		for from, to := range of {
			id = strings.ReplaceAll(id, from, to)
		}
		if strings.Contains(id, "[") {
			out = append(out, e.Type+" "+e.Action+" "+id)
		}
	}
	return out
}

// named gives short names to ids, for events.
func named(pairs map[string]string) map[string]string {
	out := map[string]string{}
	for name, id := range maps.All(pairs) {
		out[id] = "[" + name + "]"
	}
	return out
}
