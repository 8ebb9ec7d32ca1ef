// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// soak is a long run of the real program with real processes, sockets and a small real
// disk, through everything that a computer can do to it: two runners, one for each way of
// running jobs.
type soak struct {
	*town
	rng     *rand.Rand
	counts  map[string]int
	queued  int
	seconds int
	freezes int // long ones
	client  *api.Client
}

// TestSoak runs for the seconds that SOAK says, a few in the suite; `make soak` sets it. SEED is that of the
// order of mishaps, which real time does not repeat exactly.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs and takes its time")
	}
	s := &soak{town: newTown(t), rng: rand.New(rand.NewPCG(uint64(number(t, "SEED", 1)), 7)), counts: map[string]int{}, seconds: number(t, "SOAK", 15)}
	s.twoRunners()
	s.smallDisk()
	s.start()
	begun := time.Now()
	mishaps := []func(){
		s.kill, s.kill, s.kill, s.crashInARow, s.term, s.killInDrain, s.freeze, s.freezeForLong, s.fullDisk, s.killOnFullDisk, s.cutNetwork, s.cutNetwork,
	}
	var bag []int // each mishap comes once, in any order, before one comes again
	for end := begun.Add(time.Duration(s.seconds) * time.Second); time.Now().Before(end); bag = bag[1:] {
		if len(bag) == 0 {
			bag = s.rng.Perm(len(mishaps))
		}
		s.queueSome()
		s.wait(300, 2500)
		mishaps[bag[0]]()
	}
	if !s.quiet(5 * time.Minute) {
		t.Errorf("not settled: %+v", s.applications())
	}
	s.judge()
	s.stop(syscall.SIGTERM)
	s.checkSecrets()
	s.table(time.Since(begun))
}

// twoRunners adds a second runner, which runs its jobs as the Python program does, and the
// listener, which tells what the service knows of.
func (s *soak) twoRunners() {
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = freePort(s.t)
	_, section, _ := strings.Cut(string(text), "[[runners]]")
	section = strings.NewReplacer(`name = "clever"`, "name = \"fetched\"\nsub_runner = \"exec-fetched-job\"", gitlab.RunnerToken, "glrt-canary-second").Replace(section)
	more := fmt.Sprintf("listen_address = \"127.0.0.1:%s\"\n%s[[runners]]%s", s.port, text, section)
	if err := os.WriteFile(s.config, []byte(more), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if s.client, err = api.NewClient(api.ClientConfig{Address: "127.0.0.1:" + s.port}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *soak) wait(from, to int) {
	time.Sleep(time.Duration(from+s.rng.IntN(to-from)) * time.Millisecond)
}

// smallDisk puts the state folder on a disk of two megabytes.
func (s *soak) smallDisk() {
	dir := filepath.Join(s.dir, "state")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		s.t.Fatalf("a small disk can't be mounted (root is needed): %v", err)
	}
	s.t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
}

// queueSome queues jobs while not too many are open: each tells where it ran.
func (s *soak) queueSome() {
	for range s.rng.IntN(4) {
		n := s.queued
		s.queued++
		script := fmt.Sprintf("echo run >> %s; sleep %.1f; echo finished", filepath.Join(s.dir, fmt.Sprintf("ran.%d", n)), s.rng.Float64()*3)
		s.call(http.MethodPost, s.gitlab+"/_sim/jobs", map[string]any{
			"script": []string{script}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": []string{"XS", "S", "M", "L"}[s.rng.IntN(4)]},
		}, nil)
	}
}

func (s *soak) kill() {
	s.counts["kill -9"]++
	s.stop(syscall.SIGKILL)
	s.wait(10, 500)
	s.start()
}

// crashInARow kills lives that have only begun.
func (s *soak) crashInARow() {
	for range 4 {
		s.kill()
		s.wait(20, 300)
	}
}

func (s *soak) term() {
	s.counts["SIGTERM"]++
	if took := s.stop(syscall.SIGTERM); took > 5*time.Second {
		s.t.Errorf("stopping took %v", took)
	}
	s.start()
}

// killInDrain kills a service that is about to end well.
func (s *soak) killInDrain() {
	s.counts["kill -9 in drain"]++
	_ = s.service.Process.Signal(syscall.SIGTERM)
	s.wait(1, 1500)
	s.stop(syscall.SIGKILL)
	s.start()
}

func (s *soak) freeze() {
	s.counts["SIGSTOP"]++
	s.stopFor(1000, 6000)
}

// freezeForLong freezes it for longer than any call may take and a coordinator holds one,
// every two minutes at most.
func (s *soak) freezeForLong() {
	if (s.freezes+1)*120 > s.seconds {
		s.freeze()
		return
	}
	s.freezes++
	s.counts["SIGSTOP, long"]++
	s.stopFor(65_000, 75_000)
}

func (s *soak) stopFor(from, to int) {
	_ = s.service.Process.Signal(syscall.SIGSTOP)
	s.wait(from, to)
	_ = s.service.Process.Signal(syscall.SIGCONT)
}

func (s *soak) fullDisk() {
	s.counts["full disk"]++
	s.fill(func() { s.wait(1000, 5000) })
}

// killOnFullDisk lets it end and begin on a full disk.
func (s *soak) killOnFullDisk() {
	s.counts["kill -9 on a full disk"]++
	s.fill(func() {
		s.wait(10, 1000)
		s.stop(syscall.SIGKILL)
		s.start()
		s.wait(500, 3000)
	})
	s.stop(syscall.SIGKILL) // it may have ended by itself, as it may
	s.start()
}

// fill fills the disk, and makes room again after something has happened.
func (s *soak) fill(meanwhile func()) {
	ballast := filepath.Join(s.dir, "state", "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return // it is full already
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	_ = f.Close()
	meanwhile()
	if err := os.Remove(ballast); err != nil {
		s.t.Error(err)
	}
}

// cutNetwork cuts every answer of one server or both for a while, for the instances too,
// some after they took effect.
func (s *soak) cutNetwork() {
	places := [][]string{{s.gitlab}, {s.clever}, {s.gitlab, s.clever}}[s.rng.IntN(3)]
	s.counts[fmt.Sprintf("network cut, sides: %d", len(places))]++
	for _, place := range places {
		for _, path := range []string{"/api/v4/jobs/*", "/api/v4/jobs/*/trace", "/v2/*/*/*", "/v2/*/*/*/*", "/git/*/*"} {
			s.call(http.MethodPost, place+"/_sim/faults", map[string]any{"match": "* " + path, "times": 0, "drop": []string{"before", "after"}[s.rng.IntN(2)]}, nil)
		}
	}
	s.wait(500, 4000)
	for _, place := range places {
		s.call(http.MethodDelete, place+"/_sim/faults", nil, nil)
	}
}

// lost tells whether a job was granted to a process that died before it could record it: it
// runs, for its coordinator, and the service does not know it.
func (s *soak) lost(j simJob) bool {
	if j.Status != "running" || j.AcquiredAt == nil || time.Since(*j.AcquiredAt) < 10*time.Second {
		return false
	}
	_, err := s.client.Job(s.t.Context(), j.ID, "")
	problem, said := errors.AsType[*api.Problem](err)
	return said && problem.Status == http.StatusNotFound
}

// quiet waits until every job has ended, but for the lost ones, and nothing of ours is left.
func (s *soak) quiet(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		open := slices.ContainsFunc(s.jobs(), func(j simJob) bool { return j.FinishedAt == nil && !s.lost(j) })
		if !open && !slices.ContainsFunc(s.applications(), func(app clever.Application) bool { return app.State != "deleted" }) {
			return true
		}
	}
	return false
}

// judge looks at every job: it ended well and ran once, but for those that were granted to
// a process that died before it could record them.
func (s *soak) judge() {
	for i, j := range s.jobs() {
		ran, _ := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("ran.%d", i)))
		runs := strings.Count(string(ran), "run\n")
		s.counts["job "+j.Status]++
		switch {
		case runs > 1:
			s.t.Errorf("I2: the script of job %d ran %d times", j.ID, runs)
		case j.Status == "success" && strings.Contains(j.Trace, "finished"):
		case s.lost(j) && runs == 0:
			s.counts["lost at acquisition"]++
		case j.Status == "failed" && runs == 0 && strings.Contains(j.Trace, "can't record it"):
			s.counts["not recordable"]++
		default:
			s.t.Errorf("I1: job %d ended %s (%s):\n%s", j.ID, j.Status, j.FailureReason, j.Trace)
		}
	}
}

func (s *soak) table(took time.Duration) {
	fmt.Fprintf(os.Stderr, "soak: %d jobs in %s\n", s.queued, took.Round(time.Second))
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(os.Stderr, "  %-24s %d\n", what, s.counts[what])
	}
}
