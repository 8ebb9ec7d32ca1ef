// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bubble runs a relay in simulated time.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, prefix)) })
}

// simple takes the job, says one line and succeeds.
func simple(s *subRunner) error {
	m, err := s.begin()
	if err != nil {
		return err
	}
	m.trace = "hello\n"
	return m.finish("success")
}

func TestAJobsWay(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings["notice"] = map[string]string{"url": "http://manager.example/api/v1/notice", "bearer": "the-bearer"}
		w.settings["phase_note"] = "Instance started after 12 s."
		began := time.Now()
		var command Command
		var config string
		w.sub = func(s *subRunner) error {
			command, config = s.command, s.config
			return simple(s)
		}
		out, err := w.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := Outcome{State: "success", By: BySubRunner, HandedOut: true}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Error(diff)
		}
		lines := "Instance started after 12 s.\nInstance booted 42s after the job was acquired; job handed to gitlab-runner.\n"
		if got := string(w.coordinator.trace); got != prefix+lines+"hello\n" {
			t.Errorf("trace %q", got)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the relay took %s where nothing waits", took)
		}
		copied := filepath.Join(w.dir, "runner-relay.toml")
		if diff := cmp.Diff([]string{"gitlab-runner", "run-single", "--config", copied, "--runner", "the runner",
			"--max-builds", "1", "--wait-timeout", "60"}, command.Args); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(fmt.Sprint(command), standIn) || strings.Contains(fmt.Sprint(command), testToken) {
			t.Error("a token is in the command line or the environment")
		}
		if !slices.Contains(command.Env, "PATH=/usr/bin") || !slices.Contains(command.Env, "NO_PROXY=127.0.0.1") {
			t.Errorf("environment %q", command.Env)
		}
		if strings.Contains(config, "relay.invalid") || !strings.Contains(config, `url = "http://127.0.0.1:`) {
			t.Errorf("configuration %s", config)
		}
		if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v, want mode 0600", info, err)
		}
		var events []string
		for _, e := range []string{"booted", "handed_out", "finished"} {
			events = append(events, `Bearer the-bearer {"event":"`+e+`","key":"hpd-job-abcdefghij-100001"}`)
		}
		if diff := cmp.Diff(events, w.notices); diff != "" {
			t.Error(diff)
		}
		for agent := range w.coordinator.agents {
			if agent != subAgent && agent != "paas-relay 0.0.1" {
				t.Errorf("user agent %q", agent)
			}
		}
	})
}

// A manager that does not answer costs nothing but the wait at the very end.
func TestNoticesBlockNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings["notice"] = map[string]string{"url": "http://nobody.example/api/v1/notice", "bearer": "b"}
		l, err := w.net.listen("nobody.example:80") // accepts nothing
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		began := time.Now()
		var handed time.Duration
		w.sub = func(s *subRunner) error { handed = time.Since(began); return simple(s) }
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		if handed > 0 || time.Since(began) > 3*noticeTimeout {
			t.Errorf("handed out after %s, ended after %s", handed, time.Since(began))
		}
	})
}

func TestThePayloadIsGivenOnceToTheStandInToken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings["acquired_at"] = time.Now().Add(-70 * time.Minute)
		w.payload = `{"id":100001, "token":"` + testToken + `",  "é":"\u00e9", "x":{"runner_info":{"timeout":7777}},"runner_info": {"timeout" : 3600 , "runner_session_url":null},"run":"{\"timeout\":3600}"}`
		w.sub = func(s *subRunner) error {
			for _, wrong := range []string{"", "glrt-abcd", testToken} {
				if a, err := s.ask(wrong); err != nil || a.status != http.StatusNoContent {
					t.Errorf("token %q: %d %v, want 204", wrong, a.status, err)
				}
			}
			a, err := s.ask(standIn)
			if err != nil || a.status != http.StatusCreated || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%+v %v", a, err)
			}
			// 60 min of timeout and 15 min of grace, less the 70 that have passed.
			if want := strings.Replace(w.payload, `"timeout" : 3600`, `"timeout" : 300`, 1); string(a.body) != want {
				t.Errorf("payload %s\nwant %s", a.body, want)
			}
			if a, err := s.ask(standIn); err != nil || a.status != http.StatusNoContent {
				t.Errorf("again: %d %v, want 204", a.status, err)
			}
			if a, err := s.do("GET", "/api/v4/runners/router/discovery", nil, nil); err != nil || a.status != http.StatusNotImplemented {
				t.Errorf("discovery: %d %v, want 501", a.status, err)
			}
			a, err = s.patch(5, "a hole\n")
			if err != nil || a.status != http.StatusRequestedRangeNotSatisfiable || a.header.Get("Range") != "0-0" {
				t.Errorf("an append behind the end: %+v %v", a, err)
			}
			m := &model{subRunner: s, trace: "hello\n"}
			return m.finish("success")
		}
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
	})
}

// How a job ends that its sub-runner does not end well.
func TestTheRelayReportsWhatTheSubRunnerCannot(t *testing.T) {
	cases := map[string]struct {
		sub      func(s *subRunner) error
		startErr error
		says     []string
		handed   bool
	}{
		"crashed": {func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			m.write(4, line)
			fmt.Fprintf(s.command.Stderr, "old line\npanic: out of memory, token %s and %s\n", testToken, standIn)
			return errors.New("exit status 2")
		}, nil, []string{"tick 2", "\n\ngitlab-runner ended (exit status 2) without reporting the job's result.\n", "Its last words:\n", "  panic: out of memory, token [redacted] and [redacted]\n"}, true},
		"said nothing": {func(s *subRunner) error { _, err := s.begin(); return err }, nil,
			[]string{"gitlab-runner ended (by itself) without reporting the job's result.\n"}, true},
		"never asked": {func(s *subRunner) error { return nil }, nil,
			[]string{"gitlab-runner ended (by itself) without taking the job.\n"}, false},
		"hangs without asking": {func(s *subRunner) error { <-s.ctx.Done(); return nil }, nil,
			[]string{"gitlab-runner ended (signal: killed) without taking the job.\n"}, false},
		"gave the job up": {func(s *subRunner) error {
			if _, err := s.begin(); err != nil {
				return err
			}
			if a, err := s.ask(standIn); err != nil || a.status != http.StatusNoContent {
				return fmt.Errorf("%d %w", a.status, err)
			}
			if got := <-s.signals; got != syscall.SIGQUIT {
				return fmt.Errorf("signal %v", got)
			}
			return nil
		}, nil, []string{"gitlab-runner gave the job up before it began.\n"}, true},
		"not in the image": {nil, fmt.Errorf("start: %w", exec.ErrNotFound),
			[]string{"The instance's image has no program gitlab-runner.\n"}, false},
		"cannot start": {nil, errors.New("permission denied"),
			[]string{"gitlab-runner could not be started: permission denied.\n"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.sub, w.startErr = c.sub, c.startErr
				out, err := w.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want := Outcome{State: "failed", FailureReason: "runner_system_failure", By: ByRelay, HandedOut: c.handed}
				if diff := cmp.Diff(want, out); diff != "" {
					t.Error(diff)
				}
				for _, s := range c.says {
					if !strings.Contains(string(w.coordinator.trace), s) {
						t.Errorf("the trace lacks %q: %q", s, w.coordinator.trace)
					}
				}
				if len(w.coordinator.finals) != 1 || w.coordinator.finals[0]["failure_reason"] != "runner_system_failure" {
					t.Errorf("final updates %v", w.coordinator.finals)
				}
			})
		})
	}
}

// between lets something stand before the coordinator: it tells whether it has answered.
func (w *world) between(script func(http.ResponseWriter, *http.Request, []byte) bool) {
	w.coordinator.mu.Lock()
	defer w.coordinator.mu.Unlock()
	w.coordinator.script = script
}

// A job may be canceled, or ended by somebody else, at any time.
func TestEndsFromOutside(t *testing.T) {
	set := func(w *world, status string) {
		w.coordinator.mu.Lock()
		defer w.coordinator.mu.Unlock()
		w.coordinator.status = status
	}
	t.Run("canceled before boot", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			set(w, "canceled")
			w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
			out, err := w.run(t.Context())
			if err != nil || out.State != "canceled" || out.By != ByCoordinator || out.HandedOut {
				t.Error(out, err)
			}
		})
	})
	t.Run("canceling at boot", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			set(w, "canceling")
			w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
			out, err := w.run(t.Context())
			if err != nil || out.State != "canceled" || out.HandedOut || len(w.coordinator.finals) != 1 {
				t.Error(out, err)
			}
		})
	})
	t.Run("dropped by the sub-runner while canceling", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.sub = func(s *subRunner) error {
				if _, err := s.begin(); err != nil {
					return err
				}
				set(w, "canceling")
				if a, err := s.put("running", ""); err != nil || a.header.Get("Job-Status") != "canceling" {
					t.Error(a, err)
				}
				s.ask(standIn)
				<-s.signals
				return nil
			}
			out, err := w.run(t.Context())
			if err != nil || out.State != "canceled" || len(w.coordinator.finals) != 1 {
				t.Error(out, err)
			}
			if !strings.Contains(string(w.coordinator.trace), "canceled before it began") {
				t.Errorf("trace %q", w.coordinator.trace)
			}
		})
	})
	t.Run("ended by the job's own code", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				m.write(3, line)
				set(w, "success") // it has the job's token, and the coordinator is reachable
				m.trace += "more\n"
				if _, err := m.send(); !errors.Is(err, errAborted) {
					t.Error(err)
				}
				a, err := m.put("failed", m.trace)
				if err != nil || a.status != http.StatusForbidden {
					t.Error(a, err)
				}
				return nil
			}
			out, err := w.run(t.Context())
			if err != nil || out.State != "success" || out.By != ByCoordinator {
				t.Error(out, err)
			}
		})
	})
	t.Run("refused without a word", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				w.between(func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
					rw.WriteHeader(http.StatusUnauthorized)
					return true
				})
				_, err = m.put("failed", "")
				return err
			}
			out, err := w.run(t.Context())
			if err != nil || out.State != "" || out.By != ByCoordinator {
				t.Error(out, err)
			}
		})
	})
	for name, times := range map[string]int{"once": 1, "twice": 2, "for a minute": 6} {
		t.Run("refused "+name+" though the job runs", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.sub = func(s *subRunner) error {
					m, err := s.begin()
					if err != nil {
						return err
					}
					w.between(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
						if r.Method != http.MethodPut || times == 0 {
							return false
						}
						times--
						http.NotFound(rw, r) // a proxy that lost its way
						return true
					})
					_, err = m.put("success", "")
					return err
				}
				if out, err := w.run(t.Context()); err != nil || out.State != "success" || out.By != BySubRunner {
					t.Error(out, err)
				}
			})
		})
	}
	t.Run("answered by somebody else", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			left := 3
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				w.between(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
					if r.Method != http.MethodPut || left == 0 {
						return false
					}
					left--
					_, _ = rw.Write([]byte("please log in"))
					return true
				})
				_, err = m.put("success", "")
				return err
			}
			out, err := w.run(t.Context())
			w.coordinator.mu.Lock()
			defer w.coordinator.mu.Unlock()
			if err != nil || out.State != "success" || left != 0 || w.coordinator.status != "success" {
				t.Error(out, err, left, w.coordinator.status)
			}
		})
	})
	t.Run("refused for a moment before it began", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			left := 2
			w.coordinator.script = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
				if left == 0 {
					return false
				}
				left--
				http.NotFound(rw, r)
				return true
			}
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				return m.finish("success")
			}
			if out, err := w.run(t.Context()); err != nil || out.State != "success" || left != 0 {
				t.Error(out, err, left)
			}
		})
	})
	t.Run("everything refused for a moment", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				left := 3
				w.between(func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
					left--
					if left >= 0 {
						rw.WriteHeader(http.StatusUnauthorized)
					}
					return left >= 0
				})
				_, err = m.put("success", "")
				return err
			}
			if out, err := w.run(t.Context()); err != nil || out.State != "success" || out.By != BySubRunner {
				t.Error(out, err)
			}
		})
	})
	t.Run("refused though the job runs", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			w.sub = func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				w.between(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
					if r.Method == "GET" {
						return false
					}
					rw.WriteHeader(http.StatusForbidden)
					return true
				})
				_, err = m.put("failed", "")
				return err
			}
			if out, err := w.run(t.Context()); !errors.Is(err, errUnknownEnd) {
				t.Error(out, err)
			}
		})
	})
}

func TestAnOrderlyStopLetsTheSubRunnerReport(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.sub = func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			m.trace = "begun\n"
			w.stop <- os.Interrupt
			if got := <-s.signals; got != syscall.SIGTERM {
				t.Errorf("signal %v, want SIGTERM", got)
			}
			m.trace += "aborted\n"
			return m.finish("failed")
		}
		out, err := w.run(t.Context())
		if err != nil || out.State != "failed" || out.By != BySubRunner {
			t.Error(out, err)
		}
		w.whole(t, prefix, "begun\naborted\n")
	})
}

func TestAStopBeforeTheHandOutIsReported(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.net.setDown(gitlabHost, true)
		go func() {
			time.Sleep(time.Minute)
			w.stop <- syscall.SIGTERM
			time.Sleep(time.Minute)
			w.net.setDown(gitlabHost, false)
		}()
		w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
		out, err := w.run(t.Context())
		if err != nil || out.State != "failed" || out.HandedOut {
			t.Error(out, err)
		}
		if !strings.HasSuffix(string(w.coordinator.trace), "The instance was stopped before the job began.\n") {
			t.Errorf("trace %q", w.coordinator.trace)
		}
	})
}

// The power goes at some moment, and the instance boots again.
func TestARestartNeverHandsOutTwice(t *testing.T) {
	cases := map[string]struct {
		cut  func(w *world, power func()) func(*subRunner) error
		runs int // of the sub-runner in the second life
		want Outcome
		says string
	}{
		"before anything": {func(w *world, power func()) func(*subRunner) error {
			w.net.setDown(gitlabHost, true)
			go func() { time.Sleep(time.Minute); power(); w.net.setDown(gitlabHost, false) }()
			return nil
		}, 1, Outcome{State: "success", By: BySubRunner, HandedOut: true}, "handed to gitlab-runner.\nhello\n"},
		"after its lines": {func(_ *world, power func()) func(*subRunner) error {
			return func(s *subRunner) error { power(); <-s.ctx.Done(); return nil }
		}, 1, Outcome{State: "success", By: BySubRunner, HandedOut: true}, "handed to gitlab-runner.\nhello\n"},
		"after the hand-out": {func(_ *world, power func()) func(*subRunner) error {
			return func(s *subRunner) error { _, err := s.begin(); power(); <-s.ctx.Done(); return err }
		}, 0, Outcome{State: "failed", FailureReason: "runner_system_failure", By: ByRelay, HandedOut: true}, "restarted while the job ran"},
		"in mid-job": {func(_ *world, power func()) func(*subRunner) error {
			return func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				m.write(7, line)
				power()
				<-s.ctx.Done()
				return nil
			}
		}, 0, Outcome{State: "failed", FailureReason: "runner_system_failure", By: ByRelay, HandedOut: true}, "é\n\nThe instance was restarted while the job ran"},
		"with a result promised in an outage": {func(w *world, power func()) func(*subRunner) error {
			return func(s *subRunner) error {
				m, err := s.begin()
				if err != nil {
					return err
				}
				m.write(7, line)
				w.net.setDown(gitlabHost, true)
				m.trace += "the end\n"
				m.send()
				m.put("success", m.trace)
				power()
				<-s.ctx.Done()
				w.net.setDown(gitlabHost, false)
				return nil
			}
		}, 0, Outcome{State: "success", By: BySubRunner, HandedOut: true}, "the end\n"},
		"after the end": {func(_ *world, power func()) func(*subRunner) error {
			return func(s *subRunner) error { err := simple(s); power(); <-s.ctx.Done(); return err }
		}, 0, Outcome{State: "success", By: BySubRunner, HandedOut: true}, "hello\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				ctx, power := context.WithCancel(t.Context())
				w.sub = c.cut(w, power)
				if out, err := w.run(ctx); !errors.Is(err, context.Canceled) {
					t.Fatal(out, err)
				}
				finals := len(w.coordinator.finals)
				runs := 0
				w.sub = func(s *subRunner) error { runs++; return simple(s) }
				out, err := w.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, out); diff != "" {
					t.Error(diff)
				}
				if runs != c.runs || len(w.coordinator.finals) != 1 {
					t.Errorf("the sub-runner ran %d times, want %d; %d final updates, %d before", runs, c.runs, len(w.coordinator.finals), finals)
				}
				if !strings.Contains(string(w.coordinator.trace), c.says) || strings.Count(string(w.coordinator.trace), "handed to") != 1 {
					t.Errorf("trace %q, want %q in it, and the relay's line once", w.coordinator.trace, c.says)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// Another instance may have begun the job; this one has no file that says so.
func TestAGrownTraceMeansBegunElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.coordinator.trace = append(w.coordinator.trace, "Running with gitlab-runner\n"...)
		w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
		out, err := w.run(t.Context())
		if err != nil || out.State != "failed" || out.HandedOut || out.FailureReason != "runner_system_failure" {
			t.Error(out, err)
		}
		if !strings.HasSuffix(string(w.coordinator.trace), "The job had begun before this instance started. A job is never begun twice.\n") {
			t.Errorf("trace %q", w.coordinator.trace)
		}
	})
}

func TestNoTimeLeftMeansNoHandOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.settings["acquired_at"] = time.Now().Add(-76 * time.Minute)
		w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
		out, err := w.run(t.Context())
		if err != nil || out.State != "failed" || out.HandedOut {
			t.Error(out, err)
		}
	})
}

// A sub-runner that hangs after its last word doesn't keep the instance.
func TestAHangingSubRunnerIsEnded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		began := time.Now()
		w.sub = func(s *subRunner) error {
			err := simple(s)
			<-s.ctx.Done()
			return err
		}
		out, err := w.run(t.Context())
		if err != nil || out.State != "success" {
			t.Error(out, err)
		}
		if took := time.Since(began); took > cleanGrace+quitGrace+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Two askers at the same moment: one job.
func TestAskersAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.sub = func(s *subRunner) error {
			var mu sync.Mutex
			var wg sync.WaitGroup
			given := 0
			for range 8 {
				wg.Go(func() {
					a, err := s.ask(standIn)
					mu.Lock()
					defer mu.Unlock()
					if err == nil && a.status == http.StatusCreated {
						given++
					}
				})
			}
			wg.Wait()
			if given != 1 {
				t.Errorf("the job was given %d times", given)
			}
			return io.EOF
		}
		if _, err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
