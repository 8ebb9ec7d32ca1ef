// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

// gitDir is a work tree driven by the real git program.
type gitDir struct {
	t   *testing.T
	dir string
}

func newGitDir(t *testing.T) gitDir {
	t.Helper()
	if testing.Short() {
		if _, err := exec.LookPath("git"); err != nil {
			t.Skip("needs git")
		}
	}
	g := gitDir{t, t.TempDir()}
	g.must("init", "-q", "-b", "master", ".")
	return g
}

func (g gitDir) run(args ...string) (string, error) {
	cmd := exec.CommandContext(g.t.Context(), "git", args...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (g gitDir) must(args ...string) string {
	g.t.Helper()
	out, err := g.run(args...)
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (g gitDir) commit(files map[string]string) {
	g.t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	g.must("add", "-A")
	g.must("commit", "-q", "-m", "files")
}

// world is a server on a real port with one application.
func world(t *testing.T, cfg clever.Config) (*clever.Server, appAnswer, string) {
	t.Helper()
	s := clever.New(cfg)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	var app appAnswer
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+apps, strings.NewReader(newBody("one")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token sim-cc-token")
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&app); err != nil {
		t.Fatal(err)
	}
	if want := web.URL + "/git/" + app.ID + ".git"; app.Deployment.HTTPURL != want {
		t.Fatalf("httpUrl %q, want %q", app.Deployment.HTTPURL, want)
	}
	return s, app, strings.Replace(app.Deployment.HTTPURL, "://", "://any:sim-cc-token@", 1)
}

func TestGitProgramPushesAndClones(t *testing.T) {
	t.Parallel()
	s, _, remote := world(t, clever.Config{})
	g := newGitDir(t)
	big := make([]byte, 3<<20) // above http.postBuffer: chunked, after the 4-byte probe
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	g.commit(map[string]string{"Dockerfile": "FROM x\nENTRYPOINT [\"a\"]\n", "job.json": "{}", "relay": string(big)})
	if out := g.must("push", remote, "HEAD:master"); !strings.Contains(out, "remote: [SUCCESS] The application has successfully been queued for redeploy.") {
		t.Errorf("push said:\n%s", out)
	}
	shown := s.Applications()[0]
	if shown.Files["job.json"] != "{}" {
		t.Errorf("job.json is shown as %v", shown.Files["job.json"])
	}
	if b, ok := shown.Files["relay"].(clever.Binary); !ok || b.Size != len(big) || len(b.SHA256) != 64 {
		t.Errorf("the binary is shown as %v", shown.Files["relay"])
	}

	c := newGitDir(t)
	c.must("clone", "-q", remote, "copy")
	got, err := os.ReadFile(filepath.Join(c.dir, "copy", "relay"))
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("cloned file differs (%v)", err)
	}
	// A second push sends deltas against what is there, and fetch negotiates.
	g.commit(map[string]string{"job.json": `{"second":true}`})
	g.must("push", remote, "HEAD:master")
	if out := c.must("-C", "copy", "pull", "-q"); out != "" {
		t.Errorf("pull said %s", out)
	}
	if got, err := os.ReadFile(filepath.Join(c.dir, "copy", "job.json")); err != nil || string(got) != `{"second":true}` {
		t.Errorf("pulled %s (%v)", got, err)
	}
	if refs := g.must("-c", "protocol.version=2", "ls-remote", remote); strings.Count(refs, "\n") != 2 {
		t.Errorf("ls-remote: %s", refs)
	}
}

func TestGitRefusals(t *testing.T) {
	t.Parallel()
	s, app, remote := world(t, clever.Config{})
	g := newGitDir(t)
	g.commit(map[string]string{"job.json": "{}"})

	out, err := g.run("push", remote, "HEAD:refs/heads/main")
	if err == nil || !strings.Contains(out, "hook declined") || !strings.Contains(out, "custom branch") {
		t.Errorf("a push to main: %v\n%s", err, out)
	}
	if out, err := g.run("push", strings.Replace(remote, "sim-cc-token", "wrong", 1), "HEAD:master"); err == nil || !strings.Contains(out, "Authentication failed") {
		t.Errorf("a wrong password: %v\n%s", err, out)
	}
	if out, err := g.run("push", strings.Replace(remote, "any:sim-cc-token@", "", 1), "HEAD:master"); err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("no password: %v\n%s", err, out)
	}
	s.SetOrganisation("orga_other", "other-token")
	if out, err := g.run("push", strings.Replace(remote, "sim-cc-token", "other-token", 1), "HEAD:master"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("another organisation's token: %v\n%s", err, out)
	}
	if len(s.Applications()[0].Files) != 0 || s.Applications()[0].State != "created" {
		t.Error("a refused push had an effect")
	}
	g.must("push", remote, "HEAD:master")
	g.must("tag", "v1")
	g.must("push", remote, "v1") // triggers nothing
	if out, err := g.run("push", remote, ":master"); err == nil {
		t.Errorf("master was deleted:\n%s", out)
	}
	var list []deployAnswer
	a := api{t: t, s: s, token: clever.FirstToken}
	a.get("GET", apps+"/"+app.ID+"/deployments", "", &list)
	if len(list) != 1 {
		t.Errorf("%d deployments, want 1", len(list))
	}
	a.get("DELETE", apps+"/"+app.ID, "", nil)
	if out, err := g.run("ls-remote", remote); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("after the deletion: %v\n%s", err, out)
	}
}

func TestGitAnswersNotFoundWhileTheRepositoryIsCreated(t *testing.T) {
	t.Parallel()
	s, app, _ := world(t, clever.Config{RepoDelay: time.Hour})
	if app.Deployment.RepoState != "CREATING" {
		t.Errorf("repoState %q", app.Deployment.RepoState)
	}
	for token, want := range map[string]int{"": http.StatusUnauthorized, clever.FirstToken: http.StatusNotFound} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/git/"+app.ID+".git/info/refs?service=git-receive-pack", nil)
		if token != "" {
			r.SetBasicAuth("Jenkins", token)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want || (want == http.StatusUnauthorized) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("with token %q: %d %v, want %d", token, w.Code, w.Header(), want)
		}
	}
}

// Bodies as clients other than git may send them.
func TestReceivePackReadsWhatItIsSent(t *testing.T) {
	t.Parallel()
	s, app, _ := world(t, clever.Config{})
	zero := strings.Repeat("0", 40)
	one := strings.Repeat("1", 40)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(pkt(one+" "+zero+" refs/heads/master\x00report-status") + "0000"))
	_ = z.Close()
	for _, tt := range []struct {
		name, body, encoding, want string
		status                     int
	}{
		{"probe", "0000", "", "", 200},
		{"garbage", "zzzz", "", "malformed pkt-line", 400},
		{"cut", "0094", "", "malformed pkt-line", 400},
		{"no pack", pkt(zero+" "+one+" refs/heads/master\x00report-status") + "0000", "", "unpack unpack failed", 200},
		{"stale old value, gzip", zipped.String(), "gzip", "ng refs/heads/master failed to update ref", 200},
		{"not gzip", "this is not compressed", "gzip", "gzip: ", 400},
		{"not a command", pkt("hello\n") + "0000", "", "malformed", 400},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/git/"+app.ID+".git/git-receive-pack", reader(tt.body))
		r.SetBasicAuth("Jenkins", clever.FirstToken)
		r.Header.Set("Content-Encoding", tt.encoding)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %q, want %d with %q", tt.name, w.Code, w.Body.String(), tt.status, tt.want)
		}
	}
}
