// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soak is a long run of the real program with real processes, sockets and a small real
// disk, through everything that a computer can do to it.
type soak struct {
	*town
	rng    *rand.Rand
	counts map[string]int
	queued int
}

// TestSoak runs for the seconds that SOAK says, a few in the suite; `make soak` sets it. SEED is that of the
// order of mishaps, which real time does not repeat exactly.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs and takes its time")
	}
	seconds := number(t, "SOAK", 15)
	s := &soak{town: newTown(t), rng: rand.New(rand.NewPCG(uint64(number(t, "SEED", 1)), 7)), counts: map[string]int{}}
	s.smallDisk()
	s.start()
	begun := time.Now()
	for end := begun.Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		s.queueSome()
		s.wait(300, 2500)
		mishap := []func(){s.kill, s.kill, s.kill, s.term, s.freeze, s.fullDisk, s.cutNetwork, s.crashInARow}[s.rng.IntN(8)]
		mishap()
	}
	if !s.quiet(5 * time.Minute) {
		t.Errorf("not settled: %+v", s.applications())
	}
	s.stop(syscall.SIGTERM)
	s.judge()
	s.checkSecrets()
	s.table(time.Since(begun))
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

func (s *soak) freeze() {
	s.counts["SIGSTOP"]++
	_ = s.service.Process.Signal(syscall.SIGSTOP)
	s.wait(1000, 6000)
	_ = s.service.Process.Signal(syscall.SIGCONT)
}

func (s *soak) fullDisk() {
	s.counts["full disk"]++
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
	s.wait(1000, 5000)
	if err := os.Remove(ballast); err != nil {
		s.t.Error(err)
	}
}

// cutNetwork cuts every answer of both servers for a while, some after they took effect.
func (s *soak) cutNetwork() {
	s.counts["network cut"]++
	for _, place := range []string{s.gitlab, s.clever} {
		for _, path := range []string{"/api/v4/jobs/request", "/v2/*/*/*", "/v2/*/*/*/*", "/git/*/*"} {
			s.call(http.MethodPost, place+"/_sim/faults", map[string]any{"match": "* " + path, "times": 0, "drop": []string{"before", "after"}[s.rng.IntN(2)]}, nil)
		}
	}
	s.wait(500, 4000)
	for _, place := range []string{s.gitlab, s.clever} {
		s.call(http.MethodDelete, place+"/_sim/faults", nil, nil)
	}
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
	for _, what := range []string{"kill -9", "SIGTERM", "SIGSTOP", "full disk", "network cut", "job success", "not recordable", "lost at acquisition"} {
		fmt.Fprintf(os.Stderr, "  %-20s %d\n", what, s.counts[what])
	}
}
