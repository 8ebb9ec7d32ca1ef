// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

const dockerfile = "FROM x\nENTRYPOINT [\"hello\"]\n"

// work is a work tree of the real git.
type work struct {
	t   *testing.T
	dir string
}

func newWork(t *testing.T) work {
	t.Helper()
	if testing.Short() {
		if _, err := exec.LookPath("git"); err != nil {
			t.Skip("needs git")
		}
	}
	g := work{t, t.TempDir()}
	g.must("init", "-q", "-b", "master", ".")
	return g
}

func (g work) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = g.dir, plainEnv(g.dir), 5*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (g work) must(args ...string) string {
	g.t.Helper()
	out, err := g.run(args...)
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (g work) commit(files map[string]string) {
	g.t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o644); err != nil {
			g.t.Fatal(err)
		}
	}
	g.must("add", "-A")
	g.must("commit", "-q", "-m", "files")
}

// plainEnv is an environment in which programs find nothing of the user who tests.
func plainEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test", "LC_ALL=C",
	}
}

// remote is the address of an application's repository with a credential in it.
func (p *platform) remote(app, user, password string) string {
	return strings.Replace(p.url, "://", "://"+user+":"+password+"@", 1) + "/git/" + app + ".git"
}

func (p *platform) foreign(t *testing.T) string {
	t.Helper()
	id, err := p.AddForeign(clever.FirstOrganisation, "by-git")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGit(t *testing.T) {
	t.Parallel()
	p := begin(t, false, clever.TaskRunning)
	id := p.foreign(t)
	remote := p.remote(id, clever.OAuthToken, clever.OAuthSecret)
	g := newWork(t)
	g.commit(map[string]string{"Dockerfile": dockerfile, "n": "1"})
	if out := g.must("push", remote, "HEAD:master"); !strings.Contains(out, "[SUCCESS] The application has successfully been queued for redeploy.") {
		t.Errorf("first push:\n%s", out)
	}
	big := make([]byte, 3<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	g.commit(map[string]string{"n": "2", "big": string(big)})
	g.must("push", remote, "HEAD:master")
	if shown := p.only(t, "by-git"); shown.Files["n"] != "2" {
		t.Errorf("after the second push %v", shown.Files)
	}
	posts := 0
	for _, r := range p.Panel().Requests() {
		if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/git-receive-pack") && r.Status != nil && *r.Status == http.StatusOK {
			posts++
		}
	}
	if posts != 3 { // one for the small push, and for the big one a probe before
		t.Errorf("%d posts, want 3", posts)
	}
	g.commit(map[string]string{"n": "3"})
	refused := func(what, want, remote string, args ...string) {
		t.Helper()
		out, err := g.run(append([]string{"push", remote}, args...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q\n%s", what, err, want, out)
		}
	}
	refused("another branch", "You tried to push to a custom branch. This is not allowed.", remote, "HEAD:refs/heads/main")
	refused("a wrong password", "Authentication failed", p.remote(id, clever.OAuthToken, "wrong"), "HEAD:master")
	refused("an API token", "Authentication failed", p.remote(id, "any", clever.APIToken), "HEAD:master")
	refused("no password", "could not read Username", p.url+"/git/"+id+".git", "HEAD:master")
	refused("what is not ahead", "non-fast-forward", remote, "HEAD~2:master")
	p.SetOrganisation("orga_b", "token-b")
	refused("another organisation", "403", p.remote(id, "any", "token-b"), "HEAD:master")
	refused("no such application", "not found", p.remote("app_none", clever.OAuthToken, clever.OAuthSecret), "HEAD:master")

	shallow := newWork(t)
	shallow.must("fetch", "-q", "--depth=1", "file://"+g.dir, "HEAD")
	shallow.must("checkout", "-q", "FETCH_HEAD")
	if out, err := shallow.run("push", "--force", remote, "HEAD:master"); err == nil || !strings.Contains(out, "shallow update not allowed") {
		t.Errorf("a shallow clone: %v\n%s", err, out)
	}
	if shown := p.only(t, "by-git"); shown.Files["n"] != "2" {
		t.Errorf("a refused push had an effect: %v", shown.Files)
	}
	g.must("push", p.remote(id, "any", clever.ServiceToken), "HEAD:master")
	g.must("push", "--force", p.remote(id, "any", clever.FirstToken), "HEAD~1:master")
	g.must("-c", "protocol.version=2", "clone", "-q", remote, "copy")
}
