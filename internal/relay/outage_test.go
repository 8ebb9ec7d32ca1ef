// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const prefix = "The job waits for a free instance.\nInstance created after 3.1 s.\n"

// outage is a way for a coordinator to be away.
type outage struct {
	name string
	set  func(w *world, down bool)
}

func outages() []outage {
	script := func(w *world, f func(http.ResponseWriter, *http.Request, []byte) bool) {
		w.coordinator.mu.Lock()
		defer w.coordinator.mu.Unlock()
		w.coordinator.script = f
	}
	status := func(code int) func(*world, bool) {
		return func(w *world, down bool) {
			if !down {
				script(w, nil)
				return
			}
			script(w, func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
				rw.Header().Set("Retry-After", "7")
				rw.WriteHeader(code)
				return true
			})
		}
	}
	return []outage{
		{"connection refused", func(w *world, down bool) { w.net.setDown(gitlabHost, down) }},
		{"502", status(http.StatusBadGateway)},
		{"429", status(http.StatusTooManyRequests)},
		{"answers lost", func(w *world, down bool) {
			w.coordinator.mu.Lock()
			defer w.coordinator.mu.Unlock()
			w.coordinator.lose = func(r *http.Request) bool { return down && strings.HasPrefix(r.Method, "P") }
			if down { // performs what it can, but nobody hears of it
				return
			}
			w.coordinator.lose = nil
		}},
		{"no answer", func(w *world, down bool) {
			if !down {
				script(w, nil)
				return
			}
			script(w, func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
				w.coordinator.mu.Unlock()
				defer w.coordinator.mu.Lock()
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			})
		}},
	}
}

func line(i int) string { return fmt.Sprintf("tick %d of a job that says something é\n", i) }

// whole checks that not a byte was lost or doubled, and that the checksum was right.
func (w *world) whole(t *testing.T, prefix, trace string) {
	t.Helper()
	w.coordinator.mu.Lock()
	defer w.coordinator.mu.Unlock()
	got := string(w.coordinator.trace)
	want := prefix + ownLines(w.coordinator.trace, prefix) + trace
	if got != want {
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		t.Errorf("the trace has %d bytes, want %d; they differ at %d: %.80q", len(got), len(want), at, got[at:])
	}
	if len(w.coordinator.checks) > 0 {
		t.Error(w.coordinator.checks)
	}
	if n := len(w.coordinator.finals); n != 1 {
		t.Errorf("%d final updates were taken, want 1", n)
	}
}

func TestAnHourWithoutCoordinatorLosesNothing(t *testing.T) {
	for _, o := range outages() {
		for name, at := range map[string]int{"in mid-job": 300, "at the end": 595, "after the end": 601} {
			t.Run(o.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, prefix)
					w.settings["timeout_seconds"] = 4 * 3600
					var trace string
					w.sub = func(s *subRunner) error {
						m, err := s.begin()
						if err != nil {
							return err
						}
						go func() {
							time.Sleep(time.Duration(at) * time.Second)
							o.set(w, true)
							time.Sleep(time.Hour)
							o.set(w, false)
						}()
						if err := m.write(600, line); err != nil {
							return err
						}
						if at > 600 { // the log is complete, and only the result is still to come
							m.send()
							time.Sleep(2 * time.Second)
						}
						trace = m.trace
						return m.finish("success")
					}
					out, err := w.run(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if out.State != "success" {
						t.Errorf("outcome %+v", out)
					}
					w.whole(t, prefix, trace)
					time.Sleep(2 * time.Hour) // let the outage end
				})
			})
		}
	}
}

// A sub-runner that dies in the outage has said its last word: the relay brings it home.
func TestTheRelayDeliversForADeadSubRunner(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, prefix)
				var trace string
				w.sub = func(s *subRunner) error {
					m, err := s.begin()
					if err != nil {
						return err
					}
					m.write(10, line)
					o.set(w, true)
					go func() { time.Sleep(time.Hour); o.set(w, false) }()
					m.trace += "the last line\n"
					trace = m.trace
					m.send()
					m.put("failed", m.trace)
					return fmt.Errorf("exit status 1")
				}
				out, err := w.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if out.State != "failed" {
					t.Errorf("outcome %+v", out)
				}
				w.whole(t, prefix, trace)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestAnOutageAtBootDelaysTheHandOut(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, prefix)
				o.set(w, true)
				go func() { time.Sleep(10 * time.Minute); o.set(w, false) }()
				var trace string
				w.sub = func(s *subRunner) error {
					m, err := s.begin()
					if err != nil {
						return err
					}
					m.write(10, line)
					trace = m.trace
					return m.finish("success")
				}
				out, err := w.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if out.State != "success" || !out.HandedOut {
					t.Errorf("outcome %+v", out)
				}
				w.whole(t, prefix, trace)
				time.Sleep(time.Hour)
			})
		})
	}
}

// In an outage the sub-runner is told for a while, then answered in the
// coordinator's place.
func TestWhatTheSubRunnerHearsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prefix)
		w.sub = func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			outages()[1].set(w, true)
			a, err := m.patch(0, "one\n")
			if err != nil || a.status != http.StatusBadGateway || a.header.Get("Retry-After") != "7" {
				t.Errorf("at first: %+v %v, want the coordinator's own answer", a, err)
			}
			if a, err := m.put("running", "one\n"); err != nil || a.status != http.StatusOK || a.header.Get("Job-Status") != "running" {
				t.Errorf("a sign of life: %+v %v", a, err)
			}
			time.Sleep(patience)
			a, err = m.patch(0, "one\n")
			if err != nil || a.status != http.StatusAccepted || a.header.Get("Range") != "0-4" || a.header.Get("Job-Status") != "running" {
				t.Errorf("later: %+v %v", a, err)
			}
			a, err = m.put("success", "one\n")
			if err != nil || a.status != http.StatusAccepted || a.header.Get("X-GitLab-Trace-Update-Interval") == "" {
				t.Errorf("the result: %+v %v, want 202: it has not arrived", a, err)
			}
			outages()[1].set(w, false)
			w.net.setDown(gitlabHost, true)
			if a, err = m.patch(4, "two\n"); err != nil || a.status != http.StatusAccepted {
				t.Errorf("%+v %v", a, err)
			}
			w.net.setDown(gitlabHost, false)
			time.Sleep(replayStep + time.Second) // the relay replays by itself
			w.coordinator.mu.Lock()
			got := string(w.coordinator.trace)
			w.coordinator.mu.Unlock()
			if !strings.HasSuffix(got, ".\none\ntwo\n") {
				t.Errorf("trace %q", got)
			}
			w.net.setDown(gitlabHost, true)
			if a, err = m.patch(8, "three\n"); err != nil || a.status != http.StatusBadGateway {
				t.Errorf("a new outage begins anew: %+v %v", a, err)
			}
			w.net.setDown(gitlabHost, false)
			return m.finishWith("one\ntwo\nthree\n", 8)
		}
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		w.whole(t, prefix, "one\ntwo\nthree\n")
	})
}

func (m *model) finishWith(trace string, sent int) error {
	m.trace, m.sent = trace, sent
	return m.finish("success")
}

// The answer to each append, or to the result, may get lost after it was performed.
func TestLostAnswers(t *testing.T) {
	for _, method := range []string{"PATCH", "PUT"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, prefix)
				n := 0
				w.coordinator.lose = func(r *http.Request) bool { n++; return r.Method == method && n%2 == 1 }
				var trace string
				w.sub = func(s *subRunner) error {
					m, err := s.begin()
					if err != nil {
						return err
					}
					m.write(30, line)
					trace = m.trace
					return m.finish("success")
				}
				out, err := w.run(t.Context())
				if err != nil || out.State != "success" {
					t.Fatal(out, err)
				}
				w.whole(t, prefix, trace)
			})
		})
	}
}

// Somebody else writes to the trace, or the coordinator loses what was there: the
// base moves, and the sub-runner loses nothing.
func TestTheBaseMovesNeverTheSubRunner(t *testing.T) {
	cases := map[string]struct {
		change    func(trace []byte) []byte
		checksums bool // whether the final update may still carry one
		want      func(lines string) string
	}{
		"somebody appended": {func(b []byte) []byte { return append(b, "foreign\n"...) }, false,
			func(lines string) string { return prefix + lines + "foreign\n" }},
		"all gone":             {func([]byte) []byte { return nil }, true, func(string) string { return "" }},
		"back to the prefix":   {func(b []byte) []byte { return b[:len(prefix)] }, true, func(string) string { return prefix }},
		"a part of the prefix": {func(b []byte) []byte { return b[:10] }, false, func(string) string { return prefix[:10] }},
	}
	for name, c := range cases {
		for _, when := range []string{"before the first append", "in mid-job"} {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, prefix)
					var trace, lines string
					change := func() {
						w.coordinator.mu.Lock()
						defer w.coordinator.mu.Unlock()
						if lines == "" {
							lines = ownLines(w.coordinator.trace, prefix)
						}
						w.coordinator.trace = c.change(w.coordinator.trace)
					}
					w.sub = func(s *subRunner) error {
						m, err := s.begin()
						if err != nil {
							return err
						}
						if when == "in mid-job" {
							m.write(6, line)
						}
						change()
						before := m.trace
						m.write(9, line)
						trace = m.trace
						if name == "somebody appended" {
							trace = trace[len(before):]
							lines += before
						}
						return m.finish("success")
					}
					out, err := w.run(t.Context())
					if err != nil || out.State != "success" {
						t.Fatal(out, err)
					}
					if got, want := string(w.coordinator.trace), c.want(lines)+trace; got != want {
						t.Errorf("trace\n%q\nwant\n%q", got, want)
					}
					if len(w.coordinator.checks) > 0 {
						t.Error(w.coordinator.checks)
					}
					if got := w.coordinator.finals[0]["checksum"] != nil; got != c.checksums {
						t.Errorf("checksum %v, want one: %v", w.coordinator.finals[0]["checksum"], c.checksums)
					}
				})
			})
		}
	}
}

// A coordinator that wants the whole trace again gets it, also when nobody but the
// relay is left to send it.
func TestTheWholeTraceAgain(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprint("sub-runner alive: ", alive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, prefix)
				asked := false
				w.coordinator.script = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
					if r.Method != "PUT" || asked {
						return false
					}
					asked = true
					w.coordinator.trace = nil
					rw.Header().Set("X-GitLab-Trace-Update-Interval", "1")
					rw.WriteHeader(http.StatusPreconditionFailed)
					return true
				}
				w.sub = func(s *subRunner) error {
					m, err := s.begin()
					if err != nil {
						return err
					}
					m.write(5, line)
					m.send()
					a, err := m.put("success", m.trace)
					if err != nil || a.status != http.StatusPreconditionFailed {
						t.Errorf("%+v %v", a, err)
					}
					if !alive {
						return io.ErrUnexpectedEOF
					}
					m.sent = 0
					return m.finish("success")
				}
				out, err := w.run(t.Context())
				if err != nil || out.State != "success" {
					t.Fatal(out, err)
				}
				want := ""
				for i := range 5 {
					want += line(i)
				}
				if got := string(w.coordinator.trace); got != want {
					t.Errorf("trace %q, want %q", got, want)
				}
				if len(w.coordinator.checks) > 0 {
					t.Error(w.coordinator.checks)
				}
			})
		})
	}
}

func TestCombineCRC(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("something to sum up é ", 3000))
	for _, at := range []int{0, 1, 7, 255, 256, 65537, len(text)} {
		a, b := crc32.ChecksumIEEE(text[:at]), crc32.ChecksumIEEE(text[at:])
		if got, want := combineCRC(a, b, int64(len(text)-at)), crc32.ChecksumIEEE(text); got != want {
			t.Errorf("at %d: %08x, want %08x", at, got, want)
		}
	}
}
