// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

// The two command lines, by the names that the lock file gives them.
const (
	current = "clever-tools"
	older   = "clever-tools-3"
)

// cli is Clever Cloud's command line in a work tree of its own.
type cli struct {
	work
	pkgs   packages
	script string
	env    []string
}

// newCLI prepares one for a platform, as a user without a configuration.
func newCLI(t *testing.T, name, url, cert string) *cli {
	t.Helper()
	pkgs := fromNPM(t)
	c := &cli{work: newWork(t), pkgs: pkgs, script: pkgs.path(name, "bin", "clever.js")}
	c.env = append(plainEnv(t.TempDir()),
		"API_HOST="+url, "AUTH_BRIDGE_HOST="+url+"/bridge", "OAUTH_CONSUMER_KEY="+clever.ConsumerKey, "OAUTH_CONSUMER_SECRET="+clever.ConsumerSecret,
		"CLEVER_TOKEN="+clever.OAuthToken, "CLEVER_SECRET="+clever.OAuthSecret, "FORCE_COLOR=0")
	if cert != "" {
		c.env = append(c.env, "NODE_EXTRA_CA_CERTS="+cert)
	}
	return c
}

// try runs a command, with the text as its input. It gives all that it says.
func (c *cli) try(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.pkgs.node, append([]string{c.script, "--no-update-notifier"}, args...)...)
	cmd.Dir, cmd.Env, cmd.WaitDelay, cmd.Stdin = c.dir, c.env, 5*time.Second, strings.NewReader(input)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	c.t.Logf("clever %s took %v", strings.Join(args, " "), time.Since(begun).Round(time.Millisecond))
	return string(out), err
}

// ok runs a command that must succeed and say the wanted.
func (c *cli) ok(want string, args ...string) string {
	c.t.Helper()
	return c.fed("", want, args...)
}

func (c *cli) fed(input, want string, args ...string) string {
	c.t.Helper()
	out, err := c.try(input, args...)
	if err != nil || !regexp.MustCompile(want).MatchString(out) {
		c.t.Fatalf("clever %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// fails runs a command that must not succeed.
func (c *cli) fails(want string, args ...string) {
	c.t.Helper()
	if out, err := c.try("", args...); err == nil || !strings.Contains(out, want) {
		c.t.Errorf("clever %s: %v, want a failure with %q in\n%s", strings.Join(args, " "), err, want, out)
	}
}

// with gives a command line with other variables.
func (c *cli) with(env ...string) *cli {
	other := *c
	other.env = append(append([]string{}, c.env...), env...)
	return &other
}

// An application's life, from creation to deletion.
func (c *cli) life(p *platform) {
	t := c.t
	t.Helper()
	c.commit(map[string]string{"Dockerfile": dockerfile, ".gitignore": ".clever.json\n"})
	c.ok(`Application by-cli successfully created`, "create", "--type", "docker", "--task", "run it", "--org", clever.FirstOrganisation, "by-cli")
	made := p.only(t, "by-cli")
	if made.Env["CC_RUN_COMMAND"] != "run it" || made.Organisation != clever.FirstOrganisation {
		t.Errorf("created %+v", made)
	}
	c.ok(`saved`, "env", "set", "ONE", "1")
	c.ok(`ONE="1"`, "env")
	c.fed("CC_RUN_COMMAND=\"run it\"\nTWO=2\nLONG=\"a b=c\"\n", `have been set`, "env", "import")
	if env := p.only(t, "by-cli").Env; len(env) != 3 || env["TWO"] != "2" || env["LONG"] != "a b=c" {
		t.Errorf("variables %v", env)
	}
	c.ok(`by-cli: stopped`, "status")
	c.ok(`(?s)Deployment started.*cleverapps.io`, "deploy")
	if shown := p.only(t, "by-cli"); shown.Files["Dockerfile"] != dockerfile || shown.State != "ended" {
		t.Errorf("deployed %+v", shown)
	}
	c.fails("your application is up-to-date", "deploy")
	c.commit(map[string]string{"more": "2"})
	c.ok(`Deployment started`, "deploy")
	if out := c.ok(`DEPLOY`, "activity"); strings.Count(out, " OK ") != 2 {
		t.Errorf("activity:\n%s", out)
	}
	c.ok(made.ID, "applications", "list", "--org", clever.FirstOrganisation)
	c.running(p)
	c.ok(`(?s)Successfully deployed in.*hello from by-cli`, "logs", "--since", "2020-01-01T00:00:00Z", "--until", time.Now().UTC().Format(time.RFC3339Nano))
	c.ok(`rescaled`, "scale", "--flavor", "S")
	if got := p.only(t, "by-cli").Flavor; got != "S" {
		t.Errorf("flavor %s", got)
	}
	c.ok(`cache`, "addon", "create", "cellar-addon", "cache", "--plan", "s", "--org", clever.FirstOrganisation, "--yes")
	c.ok(`successfully deleted`, "addon", "delete", "cache", "--org", clever.FirstOrganisation, "--yes")
	c.ok(`successfully deleted`, "delete", "--yes")
	for _, a := range p.Applications() {
		if a.State != "deleted" {
			t.Errorf("still there: %+v", a)
		}
	}
}

// running looks at a task that goes on, cancels it, and stops another.
func (c *cli) running(p *platform) {
	c.t.Helper()
	c.ok(`saved`, "env", "set", "HOLD", "yes")
	for _, end := range [][]string{{"cancel-deploy"}, {"stop"}} {
		c.ok(`Deployment started`, "restart", "--exit-on", "deploy-start")
		waitFor(c.t, "the task runs", func() bool { return p.only(c.t, "by-cli").State == "running" })
		c.ok(``, end...)
		if got := p.only(c.t, "by-cli").State; got != "ended" {
			c.t.Errorf("after %v: %s", end, got)
		}
	}
	c.ok(`(?s)CANCELLED.*UNDEPLOY`, "activity")
	c.ok(``, "env", "rm", "HOLD")
}

// server is the life of what is no task.
func (c *cli) server(p *platform) {
	c.t.Helper()
	c.ok(`successfully created`, "create", "--type", "docker", "--org", clever.FirstOrganisation, "--alias", "server", "by-cli-too")
	c.ok(`saved`, "env", "set", "HOLD", "yes", "--alias", "server")
	c.ok(`Deployment started`, "deploy", "--alias", "server")
	c.ok(`by-cli-too: running \(1\*XS,  Commit: [0-9a-f]{40}`, "status", "--alias", "server")
	c.ok(`cleverapps.io`, "domain", "--alias", "server")
	c.ok(``, "domain", "add", "www.example.test", "--alias", "server")
	c.ok(``, "domain", "favourite", "set", "www.example.test", "--alias", "server")
	c.ok(`www.example.test`, "domain", "favourite", "--alias", "server")
	c.ok(`stopped`, "stop", "--alias", "server")
	c.ok(`by-cli-too: stopped`, "status", "--alias", "server")
	if got := p.only(c.t, "by-cli-too").State; got != "ended" {
		c.t.Errorf("after a stop: %s", got)
	}
	c.ok(`successfully deleted`, "delete", "--yes", "--alias", "server")
}

// refusals tries what must not succeed.
func (c *cli) refusals(p *platform) {
	c.t.Helper()
	before := len(p.Applications())
	const in = "not logged in"
	list := []string{"applications", "list", "--org", clever.FirstOrganisation}
	c.with("CLEVER_SECRET=wrong").fails(in, list...)
	c.with("CLEVER_TOKEN=wrong").fails(in, list...)
	c.with("OAUTH_CONSUMER_SECRET=wrong").fails(in, list...)
	c.fails("", "applications", "list", "--org", "orga_b")
	c.fails("", "create", "--type", "docker", "--org", "orga_b", "theirs")
	if n := len(p.Applications()); n != before {
		c.t.Errorf("%d applications were made that must not be", n-before)
	}
}

// The current one signs with PLAINTEXT. Here git is the system's.
func TestCurrentCommandLine(t *testing.T) {
	t.Parallel()
	p := begin(t, false, clever.TaskWIP)
	p.SetOrganisation("orga_b", "token-b")
	c := newCLI(t, current, p.url, p.cert)
	c.ok(`enabled`, "features", "enable", "system-git")
	c.ok(`user_sim@sim.invalid`, "profile")
	c.ok(`Expires on`, "profile")
	c.ok(`api_token_user_sim`, "tokens")
	c.life(p)
	c.server(p)
	c.refusals(p)
}

// The older one signs with HMAC-SHA512. Its git speaks https only.
func TestOlderCommandLine(t *testing.T) {
	t.Parallel()
	p := begin(t, true, clever.TaskWIP)
	p.SetOrganisation("orga_b", "token-b")
	c := newCLI(t, older, p.url, p.cert)
	c.ok(`user_sim@sim.invalid`, "profile")
	c.life(p)
	c.refusals(p)
}

// The current one fails when a task is called TASK_RUNNING, which it does not know.
func TestCurrentCommandLineDoesNotKnowRunningTasks(t *testing.T) {
	t.Parallel()
	p := begin(t, false, clever.TaskRunning)
	c := newCLI(t, current, p.url, p.cert)
	c.ok(`enabled`, "features", "enable", "system-git")
	c.commit(map[string]string{"Dockerfile": dockerfile, ".gitignore": ".clever.json\n"})
	c.ok(`created`, "create", "--type", "docker", "--task", "x", "--org", clever.FirstOrganisation, "by-cli")
	c.ok(`saved`, "env", "set", "HOLD", "yes")
	c.fails("Deployment failed", "deploy", "--quiet")
	c.ok(`TASK_RUNNING`, "activity")
}

// The consumer that the command line brings along is known when the simulator is told
// about it, and its secret stays where it is.
func TestConsumerOfTheCommandLine(t *testing.T) {
	t.Parallel()
	p := begin(t, false, clever.TaskWIP)
	c := newCLI(t, current, p.url, p.cert)
	text, err := os.ReadFile(c.pkgs.path(current, "src", "config", "config.js"))
	if err != nil {
		t.Fatal(err)
	}
	pair := regexp.MustCompile(`OAUTH_CONSUMER_(?:KEY|SECRET): z\.string\(\)\.default\('(\w+)'\)`).FindAllStringSubmatch(string(text), 2)
	if len(pair) != 2 {
		t.Fatal("the command line's configuration has another form")
	}
	var env []string
	for _, v := range c.env {
		if !strings.HasPrefix(v, "OAUTH_CONSUMER_") {
			env = append(env, v)
		}
	}
	c.env = env
	c.fails("invalid or has expired", "profile")
	p.SetConsumer(pair[0][1], pair[1][1])
	c.ok(`user_sim@sim.invalid`, "profile")
}

// Over https the current one uses a git of its own. The simulator is the real program.
func TestCurrentCommandLineOverTLS(t *testing.T) {
	t.Parallel()
	fromNPM(t)
	url, cert := program(t)
	c := newCLI(t, current, url, cert)
	c.commit(map[string]string{"Dockerfile": "FROM x\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo hello from $CC_APP_NAME\"]\n", ".gitignore": ".clever.json\n"})
	c.ok(`created`, "create", "--type", "docker", "--task", "x", "--org", clever.FirstOrganisation, "by-tls")
	c.ok(`Deployment started`, "deploy")
	c.ok(`hello from by-tls`, "logs", "--since", "2020-01-01T00:00:00Z", "--until", time.Now().UTC().Format(time.RFC3339Nano))
	c.ok(`deleted`, "delete", "--yes")
	c.with("NODE_EXTRA_CA_CERTS=").fails("TLS certificate verification failed", "profile")
}
