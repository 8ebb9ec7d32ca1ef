// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// summary gathers what the workers tell.
type summary struct {
	begun time.Time
	runs  int

	mu                  sync.Mutex
	done, lives         int
	caught              bool // a broken variant was; the workers may stop
	points, cuts, deeds map[string]bool
	struck              map[string]bool
}

// follow runs one worker and takes its lines.
func (s *summary) follow(t *testing.T, shard string) {
	self, err := os.Executable()
	if err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command(self, "-test.run=^TestSimulate$", "-test.timeout=0")
	// With a higher limit more memory is touched for the first time, which costs more than
	// collecting it does.
	cmd.Env = append(os.Environ(), shardVariable+"="+shard, "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=512MiB")
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		cmd.Env = append(cmd.Env, "TMPDIR=/dev/shm") // ledgers are synced to it thousands of times a minute
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	rest := s.read(t, out)
	if s.isCaught() {
		_ = cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil && !s.isCaught() {
		t.Errorf("worker %s: %v\n%s\n%s", shard, err, rest, &complaints)
	}
}

// read takes the lines of a worker; what is no report of a run is given back.
func (s *summary) read(t *testing.T, out io.Reader) string {
	var rest strings.Builder
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), playedMark)
		if !ok {
			rest.WriteString(lines.Text() + "\n")
			continue
		}
		var p played
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Errorf("worker: %v", err)
			continue
		}
		s.take(t, p)
		if s.isCaught() {
			return ""
		}
	}
	return rest.String()
}

func (s *summary) isCaught() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caught
}

func (s *summary) take(t *testing.T, p played) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.lives += p.Lives
	for set, names := range map[*map[string]bool][]string{&s.points: p.Points, &s.cuts: p.Cuts, &s.deeds: p.Deeds, &s.struck: p.Struck} {
		for _, name := range names {
			(*set)[name] = true
		}
	}
	if name := os.Getenv("SIM_BREAK"); len(p.Wrong) > 0 && onlyCatch() {
		if !s.caught {
			t.Errorf("%s caught after %d runs, seed %d: %s", name, s.done, p.Seed, p.Wrong[0])
		}
		s.caught = true
		return
	}
	if len(p.Wrong) > 0 {
		t.Errorf("seed %d breaks what must hold:\n%s\nto repeat it: make simulate SEED=%d RUNS=1\n%s", p.Seed, strings.Join(p.Wrong, "\n"), p.Seed, p.tell())
	}
	if s.done%200 == 0 || s.done == s.runs {
		fmt.Fprintf(os.Stderr, "%d of %d runs with %d lives, %.1f runs a second, %.0f a minute; cut at %d of %d kinds of crash points; %d kinds of deeds; %d of %d ways in which a call fails\n",
			s.done, s.runs, s.lives, float64(s.done)/time.Since(s.begun).Seconds(), float64(s.done)/time.Since(s.begun).Minutes(), len(s.cuts), len(s.points), len(s.deeds),
			len(s.struck), len(everyMishap()))
	}
	if s.done == s.runs && os.Getenv("VERBOSE") == "1" {
		fmt.Fprintf(os.Stderr, "never cut at:\n  %s\n", strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(s.points)), func(n string) bool { return s.cuts[n] }), "\n  "))
		fmt.Fprintf(os.Stderr, "deeds: %s\n", strings.Join(slices.Sorted(maps.Keys(s.deeds)), ", "))
		fmt.Fprintf(os.Stderr, "never failed so:\n  %s\n", strings.Join(slices.DeleteFunc(everyMishap(), func(n string) bool { return s.struck[n] }), "\n  "))
	}
}

// tell tells people what is needed for a violation, and what happened.
func (p played) tell() string {
	if p.Plan == "" {
		return ""
	}
	return fmt.Sprintf("what is needed of its plan:\n%s\nit breaks:\n%s\nhow (→ a call, ← its answer; polls and looks are left out):\n%s",
		p.Plan, strings.Join(p.Still, "\n"), p.Story)
}

// everyMishap names all ways in which a call may fail.
func everyMishap() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(mishaps())) {
		for _, call := range append(cloudCalls(), coordinatorCalls()...) {
			out = append(out, name+": "+call)
		}
	}
	return out
}
