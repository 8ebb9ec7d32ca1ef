// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// Whatever becomes of the service and of the engine: the jobs end as they should, and
// nothing is left. One after the other, since each concerns all jobs.
func TestLives(t *testing.T) {
	t.Parallel()
	g := &gate{conns: map[net.Conn]bool{}}
	// over tcp an instance gets the socket at its usual place, on the engine's computer
	n := newTown(t, engine.Options{Flags: []string{"--host", "unix:///var/run/docker.sock"}}, g.open)
	for _, step := range []struct {
		name string
		test func(*testing.T, *town)
	}{
		{"service killed while it launches", killedWhileItLaunches},
		{"service killed while jobs run", killedWhileJobsRun},
		{"ledger lost", ledgerLost},
		{"engine away", func(t *testing.T, n *town) { engineAway(t, n, g) }},
		{"engine restarted", engineRestarted},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			step.test(t, n)
			n.clean(t)
		}) {
			return
		}
	}
}

// job is one of either place.
type job struct {
	*place
	id int64
	at *stop
}

// atStops queues a job at each place and waits until both are where they stop.
func (n *town) atStops(t *testing.T) []job {
	t.Helper()
	var out []job
	for _, p := range n.places {
		at := p.newStop(t)
		id := p.queue(t, gitlab.Spec{Script: []string{at.line(), "echo finished"}, Services: []gitlab.Image{{Name: "group/web:1", Alias: "web"}}})
		out = append(out, job{p, id, at})
	}
	for _, j := range out {
		j.at.wait(t, j.place, j.id)
	}
	return out
}

func succeed(t *testing.T, jobs []job) {
	t.Helper()
	for _, j := range jobs {
		if trace := j.ends(t, j.id, "success", "").Trace; strings.Count(trace, "finished\n") != 1 && strings.Count(trace, "finished\r\n") != 1 {
			t.Errorf("the script of job %d ran not once:\n%s", j.id, trace)
		}
	}
}

// killedWhileItLaunches: kill -9 as soon as the jobs are acquired, and twice again a little
// later. They are on record, so none is lost.
func killedWhileItLaunches(t *testing.T, n *town) {
	var jobs []job
	for range 2 {
		for _, p := range n.places {
			jobs = append(jobs, job{place: p, id: p.script(t, "sleep 1", "echo finished")})
		}
	}
	eventually(t, time.Minute, func() bool {
		s, err := n.status()
		return err == nil && len(s.Jobs) == len(jobs)
	}, n.says)
	for _, d := range []time.Duration{0, 700 * time.Millisecond, 1500 * time.Millisecond} {
		<-time.After(d)
		n.stopService(syscall.SIGKILL)
		n.startService()
	}
	succeed(t, jobs)
}

// killedWhileJobsRun: the jobs end while nobody looks.
func killedWhileJobsRun(t *testing.T, n *town) {
	jobs := n.atStops(t)
	n.stopService(syscall.SIGKILL)
	for _, j := range jobs {
		j.at.release()
	}
	succeed(t, jobs)
	n.startService()
}

// ledgerLost: kill -9, and the state folder is gone: the instances are adopted.
func ledgerLost(t *testing.T, n *town) {
	jobs := n.atStops(t)
	n.stopService(syscall.SIGKILL)
	if err := os.RemoveAll(filepath.Join(n.dir, "state")); err != nil {
		t.Fatal(err)
	}
	n.makeState()
	n.startService()
	eventually(t, 2*time.Minute, func() bool {
		s, err := n.status()
		return err == nil && len(s.Jobs) == len(jobs)
	}, n.says)
	for _, j := range jobs {
		j.at.release()
	}
	succeed(t, jobs)
}

// engineAway: the service does not reach the engine for a while, in which jobs end and
// others come.
func engineAway(t *testing.T, n *town, g *gate) {
	jobs := n.atStops(t)
	g.close()
	for _, j := range jobs {
		j.at.release()
	}
	succeed(t, jobs)
	var late []job
	for _, p := range n.places {
		late = append(late, job{place: p, id: p.script(t, "echo finished")})
	}
	said := len(n.says())
	eventually(t, time.Minute, func() bool {
		return strings.Count(n.says()[said:], "create failed") > 1
	}, n.says)
	g.open(n)
	succeed(t, late)
}

// engineRestarted: it crashes and comes back, and what ran on it has ended.
func engineRestarted(t *testing.T, n *town) {
	jobs := n.atStops(t)
	n.Stun(t)
	n.Revive(t)
	for _, j := range jobs {
		j.ends(t, j.id, "failed", "runner_system_failure")
	}
}
