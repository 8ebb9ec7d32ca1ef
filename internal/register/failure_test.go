// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/register"
	"heptapod-paas-runner/internal/secret"
)

// Each way in which a coordinator may fail is one clear sentence, and nothing is left.
func TestWhatACoordinatorMayAnswer(t *testing.T) {
	t.Parallel()
	kind := func(mime string) map[string]any { return map[string]any{"Content-Type": mime} }
	for _, c := range []struct {
		name   string
		fault  map[string]any
		says   string // with either token
		unsure string // only with a registration token: a runner may have been made
	}{
		{"403", map[string]any{"status": 403, "headers": kind("application/json"), "body": `{"message":"403 Forbidden - invalid token supplied"}`}, "does not accept", ""},
		{"410", map[string]any{"status": 410, "headers": kind("application/json"), "body": `{"message":"410 Gone - runner registration disallowed"}`}, "takes no registration tokens any more: make the runner there", ""},
		{"422", map[string]any{"status": 422, "headers": kind("application/json"), "body": `{"message":"Runner is orphaned"}`}, "what it belonged to is gone", ""},
		{"400", map[string]any{"status": 400, "headers": kind("application/json"), "body": `{"message":{"description":["is too long"]}}`}, "is too long", ""},
		{"404", map[string]any{"status": 404, "headers": kind("application/json"), "body": `{"error":"404 Not Found"}`}, "is no coordinator, or the URL has too much or too little", ""},
		{"429", map[string]any{"status": 429, "body": "Retry later"}, "asks to try again later", ""},
		{"502", map[string]any{"status": 502, "body": "bad gateway"}, "has trouble of its own", "a runner may have been made all the same: look for \"one\""},
		{"HTML", map[string]any{"status": 200, "headers": kind("text/html"), "body": "<html>"}, "answers with a page for people", "a runner may have been made"},
		{"HTML 404", map[string]any{"status": 404, "headers": kind("text/html"), "body": "<html>"}, "answers with a page for people", ""},
		{"redirect", map[string]any{"status": 302, "headers": map[string]any{"Location": "https://www.example.com/users/sign_in"}}, "sends elsewhere; use that URL (", ""},
		{"no JSON", map[string]any{"status": 201, "headers": kind("application/json"), "body": "{"}, "POST /api/v4/runners", "a runner may have been made"},
		{"cut", map[string]any{"drop": "before"}, "cut the connection", "a runner may have been made"},
		{"hang", map[string]any{"delay": "1s"}, "gave no answer within 300ms", "a runner may have been made"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.timeout = 300 * time.Millisecond
			for _, token := range []string{"registration", "authentication"} {
				o := b.newFile()
				c.fault["match"] = "POST /api/v4/runners"
				says := []string{c.says, c.unsure}
				if token == "authentication" {
					o.Token, o.RegistrationToken = secret.New("glrt-CANARY"), secret.String{}
					c.fault["match"] = "POST /api/v4/runners/verify"
					says = []string{c.says}
				}
				b.fault(c.fault)
				got := b.run(o)
				b.refusedWith(c.name+" "+token, got, says)
				if token == "authentication" || c.unsure == "" {
					if strings.Contains(got.err.Error(), "may have been made") {
						t.Errorf("%s: is unsure for nothing: %v", token, got.err)
					}
				}
				if strings.Contains(got.err.Error()+got.say, "CANARY") || b.text() != "" {
					t.Errorf("shows a token or wrote a file: %v %s %s", got.err, got.say, b.text())
				}
			}
		})
	}
}

// refusedWith wants exit code 1 and every text.
func (b *bench) refusedWith(name string, got outcome, says []string) {
	b.t.Helper()
	for _, text := range says {
		if got.code != 1 || !strings.Contains(got.err.Error(), text) {
			b.t.Errorf("%s: ended with %d: %v\nwant 1: %s", name, got.code, got.err, text)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.URL = "http://127.0.0.1:1"
	b.refused("a closed port", b.run(o), 1, "http://127.0.0.1:1 can't be reached")
	o.URL = "http://nobody.invalid"
	b.refused("no such name", b.run(o), 1, "http://nobody.invalid ")
	o.URL = strings.Replace(b.url, "http:", "https:", 1)
	b.refused("no TLS there", b.run(o), 1, "does not speak https there")
}

func TestACertificateOfOnesOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := httptest.NewUnstartedServer(b)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	o := b.newFile()
	o.URL = server.URL
	b.refused("without its CA", b.run(o), 1, "has a certificate that is not trusted here; name its CA with --tls-ca-file")
	ca := filepath.Join(b.dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	o.TLSCAFile = ca
	b.good(b.run(o))
	if got := b.load().Runners[0].TLSCAFile; got != ca {
		t.Errorf("the file says %q", got)
	}
}

// meanwhile does something once, when a runner is being made.
func (b *bench) meanwhile(do func()) {
	b.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v4/runners" {
			do()
		}
		return false
	}
}

// When the file can't be written after all, the runner is taken back.
func TestAFailedWriteIsUndone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.meanwhile(func() { b.write("# somebody else's\n") })
	b.refused("a new file", b.run(b.newFile()), 1, "was made by somebody else meanwhile; nothing is written; the registration is undone")
	if b.text() != "# somebody else's\n" {
		t.Errorf("wrote %s", b.text())
	}
	b.write(valid)
	b.meanwhile(func() { b.write(valid + "# more\n") })
	b.refused("an old file", b.run(b.newFile()), 1, "was changed by somebody else meanwhile", "the registration is undone")
	b.before = nil
	b.write(valid)
	b.meanwhile(func() {
		if err := os.RemoveAll(b.dir); err != nil {
			t.Error(err)
		}
		if err := os.Mkdir(b.dir, 0o700); err != nil {
			t.Error(err)
		}
	})
	b.refused("a folder that is gone", b.run(b.newFile()), 1, "the registration is undone")
}

// Undoing is tried again, and a runner that is gone already is gone.
func TestUndoingIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.meanwhile(func() { b.write("x") })
	b.fault(map[string]any{"match": "DELETE /api/v4/runners", "status": 503})
	b.refused("a 503", b.run(b.newFile()), 1, "the registration is undone")
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.fault(map[string]any{"match": "DELETE /api/v4/runners", "drop": "after"})
	b.refused("a lost answer", b.run(b.newFile()), 1, "the registration is undone")
}

// A runner that can't be taken back is not lost: its token is shown, once.
func TestARunnerThatStaysShowsItsToken(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]bool{"refused": false, "as asked": true} {
		b := newBench(t)
		b.meanwhile(func() { b.write("x") })
		b.fault(map[string]any{"match": "DELETE /api/v4/runners", "status": 405, "times": 0})
		o := b.newFile()
		o.LeaveRunner = yes(leave)
		got := b.run(o)
		want := "could not be undone: DELETE /api/v4/runners: 405"
		if leave {
			want = "the runner stays registered, as --leave-runner asks"
		}
		if got.code != 1 || !strings.Contains(got.err.Error(), want) {
			t.Errorf("%s: %d, %v", name, got.code, got.err)
		}
		_, token, found := strings.Cut(got.say, "shown this once: ")
		token = strings.TrimSpace(token)
		if !found || strings.Count(got.say+got.out+got.err.Error(), token) != 1 {
			t.Fatalf("%s: says %s", name, got.say)
		}
		b.before = nil
		if err := os.Remove(b.file); err != nil {
			t.Fatal(err)
		}
		o.Token, o.RegistrationToken = secret.New(token), secret.String{}
		b.good(b.run(o)) // it is the token of a runner
	}
}

// A runner that others made is never taken away from them.
func TestAGlrtRunnerIsNeverDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/verify") {
			b.write("x")
		}
		return false
	}
	o := b.newFile()
	o.Token, o.RegistrationToken = secret.New("glrt-theirs"), secret.String{}
	got := b.run(o)
	if got.code != 1 || !strings.Contains(got.err.Error(), "nothing is written; nothing is changed") {
		t.Errorf("%d, %v", got.code, got.err)
	}
	if b.called() != "POST /api/v4/runners/verify, DELETE /api/v4/runners/managers" {
		t.Errorf("called %s", b.called())
	}
}

// Ctrl-C while the coordinator works on it: its answer is waited for, and undone.
func TestInterruptedWhileRegistering(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.meanwhile(cancel)
	got := b.runContext(ctx, b.newFile())
	b.refused("while registering", got, 130, "interrupted; the registration is undone")
	if b.text() != "" || !strings.Contains(got.say, "waiting for the coordinator's answer") {
		t.Errorf("wrote %s, said %s", b.text(), got.say)
	}
}

func TestInterruptedBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.refused("before anything", b.runContext(ctx, b.newFile()), 130, "interrupted; nothing is changed")
	b.refused("at a question", b.runContext(ctx, register.Options{}), 130, "interrupted; nothing is changed")
	o := b.newFile()
	o.Token, o.RegistrationToken = secret.New("glrt-x"), secret.String{}
	ctx, cancel = context.WithCancel(t.Context())
	b.before = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // the end of the connection is seen behind it only
		cancel()
		<-r.Context().Done()
		return true
	}
	b.refused("while verifying", b.runContext(ctx, o), 130, "was not waited for")
	if b.text() != "" {
		t.Errorf("wrote %s", b.text())
	}
}
