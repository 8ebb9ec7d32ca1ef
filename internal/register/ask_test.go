// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"os"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/register"
)

// The questions and their order, as the Python program asked them, with those that make
// the file complete behind them. Answers that won't do are asked for again.
func TestQuestions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	host, _ := os.Hostname()
	got := b.run(register.Options{},
		"", "none", "0", "4",
		"heptapod.example.com", b.url+"/api/v4", b.url+"/",
		"my runner",
		"", "two words", "sim-registration-token",
		"docker", "",
		"", "orga_1", "cc-secret",
		"S", "many", "6")
	b.good(got)
	want := b.file + ` does not exist; it will be made.
State file path [/var/lib/heptapod-paas-runner/state.db]: ` +
		`Concurrency (jobs at once over all runners): found "none", want a whole number from 1
Concurrency (jobs at once over all runners): found "0", want a whole number from 1
Concurrency (jobs at once over all runners): ` +
		`URL of the coordinator, such as https://heptapod.example.com: want a URL such as https://heptapod.example.com
URL of the coordinator, such as https://heptapod.example.com: found "` + b.url + `/api/v4", want it without /api/v4, which is added to it
URL of the coordinator, such as https://heptapod.example.com: ` +
		`Name of the runner [` + host + `]: ` +
		`Token of the runner (glrt-...), or a registration token: an answer is needed
Token of the runner (glrt-...), or a registration token: holds white space
Token of the runner (glrt-...), or a registration token: ` +
		`Executor (clever-docker or local-docker) [clever-docker]: found "docker", which gitlab-runner runs itself; here it is "clever-docker" (an instance on Clever Cloud for each job) or "local-docker" (containers on a Docker Engine)
Executor (clever-docker or local-docker) [clever-docker]: ` +
		`Organisation of Clever Cloud that pays (orga_..., or "tenants": the one that each job's top-level group names): an answer is needed
Organisation of Clever Cloud that pays (orga_..., or "tenants": the one that each job's top-level group names): ` +
		`Token of this organisation for Clever Cloud's API: ` +
		`Quota: the weight of so many jobs of which flavor [M]: ` +
		`Quota: how many of them at once [4]: found "many", want a whole number from 1
Quota: how many of them at once [4]: asking ` + b.url + `/ ...
`
	if !strings.HasPrefix(got.say, want) {
		t.Errorf("got\n%s\nwant\n%s", got.say, want)
	}
	cfg := b.load()
	if cfg.Quota != (config.Quota{ReferenceRunner: "my runner", ReferenceFlavor: "S", ReferenceJobs: 6}) || cfg.Runners[0].Clever.Token.Reveal() != "cc-secret" || len(cfg.Warnings) > 0 {
		t.Errorf("%+v", cfg)
	}
	if strings.Contains(got.say+got.out, "cc-secret") || strings.Contains(got.say+got.out, "sim-registration-token") {
		t.Errorf("a secret is shown: %s", got.say)
	}
}

// All given: nothing is asked, as with the Python program. What is given wrong is.
func TestOnlyWhatIsMissingIsAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.NonInteractive = nil
	got := b.run(o)
	b.good(got)
	if strings.Contains(got.say, "]: ") || strings.Contains(got.say, "URL of") {
		t.Errorf("asks: %s", got.say)
	}
	o.Executor, o.Name = "shell", "two"
	got = b.run(o, "local-docker")
	b.good(got)
	if !strings.Contains(got.say, `--executor: found "shell", which gitlab-runner runs itself`) || len(b.load().Runners) != 2 {
		t.Errorf("says %s", got.say)
	}
}

// A name that is taken is asked for again; the quota's own runner is offered.
func TestNamesThatAreOffered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(valid)
	o := b.newFile()
	o.NonInteractive, o.Name = nil, ""
	got := b.run(o, "old", "new")
	b.good(got)
	if !strings.Contains(got.say, "the section in line 7 of "+b.file+" has this name already") || b.load().Runners[1].Name != "new" {
		t.Errorf("says %s", got.say)
	}
	b.write(valid[:strings.Index(valid, "[[")])
	got = b.run(o, "")
	b.good(got)
	if !strings.Contains(got.say, "Name of the runner [old]: ") || b.load().Runners[0].Name != "old" {
		t.Errorf("says %s", got.say)
	}
}

func TestTenantsCanBeTheAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.newFile()
	o.NonInteractive, o.Executor, o.QuotaFlavor, o.QuotaJobs = nil, "clever-docker", "M", "1"
	b.good(b.run(o, "tenants", "glpat-x"))
	if c := b.load().Runners[0].Clever; !c.MultiTenant || c.NamespaceToken.Reveal() != "glpat-x" {
		t.Errorf("%+v", c)
	}
}

// When the input ends nothing is half done, however far it went.
func TestTheInputEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	all := []string{"s.db", "4", b.url, "name", "sim-registration-token", "clever-docker", "orga_1", "cc", "M"}
	for n := range all {
		b.refused(strings.Join(all[:n], " "), b.run(register.Options{}, all[:n]...), 1, "the input ended before", "nothing is changed")
	}
	b.refused("a very long answer", b.run(register.Options{}, strings.Repeat("x", 70000)), 1, "an answer is longer than 65536 bytes")
	if b.called() != "" || b.text() != "" {
		t.Errorf("called %s, wrote %s", b.called(), b.text())
	}
	// The last line need not end.
	b.good(b.run(register.Options{}, strings.Join(append(all, "1"), "\n")))
}

// FuzzAnswers: whatever is typed, it ends, and with a good file or none.
func FuzzAnswers(f *testing.F) {
	f.Add("s.db\n4\nhttp://x\nname\nsim-registration-token\nlocal-docker\n", "")
	f.Add("\n9\nhttp://x\n${A}\nglrt-x\n\n\"\n\\\nM\n\n", "${B}")
	f.Add("a\nb\n", "\x00")
	f.Fuzz(func(t *testing.T, typed, image string) {
		b := newBench(t)
		o := register.Options{URL: b.url, DockerImage: image}
		got := b.run(o, strings.Split(typed, "\n")...)
		if got.code == 0 {
			b.load()
		} else if b.text() != "" {
			t.Errorf("ended with %d: %v, and wrote %s", got.code, got.err, b.text())
		}
	})
}
