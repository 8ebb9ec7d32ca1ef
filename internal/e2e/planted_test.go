// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plant is a mistake by which a secret gets out, at one place of the program: a text of a
// file and what stands there instead. It calls planted("name"), which gives a secret with
// that name before it.
type plant struct {
	file, old, now string
	in             []string // where it must be found: kinds of places
}

func plants() map[string]plant {
	return map[string]plant{
		"log-debug": {"internal/manager/start.go", "\trc := j.runner.cfg\n", `
	rc := j.runner.cfg
	m.log.Debug("starting", "how", planted("log-debug"))
`, []string{"log"}},
		"coordinator-error": {"internal/coordinator/errors.go", "e.Message = in.scrub(a.message())", `e.Message = in.scrub(a.message()) + planted("coordinator-error")`, []string{"log", "command"}},
		"cloud-error":       {"internal/cloud/clever/refusal.go", "e.Message = plain(said, secrets)", `e.Message = plain(said, secrets) + planted("cloud-error")`, []string{"log"}},
		"git-error":         {"internal/gitpush/guard.go", `return fmt.Sprintf("the server answered %d %s"`, `return planted("git-error") + fmt.Sprintf("the server answered %d %s"`, []string{"log"}},
		"dump":              {"cmd/heptapod-paas-runner/signals.go", `"dump", string(text))`, `"dump", string(text)+planted("dump"))`, []string{"log"}},
		"problem": {"internal/manager/snapshot.go", "\ts.Breakers = m.breakerStatus()\n", `
	s.Breakers = m.breakerStatus()
	s.Strangers = append(s.Strangers, planted("problem"))
`, []string{"log", "page", "command"}},
		"health":       {"internal/api/handlers.go", `_, _ = io.WriteString(w, "ok\n")`, `_, _ = io.WriteString(w, "ok\n"+planted("health"))`, []string{"page"}},
		"header":       {"internal/api/handlers.go", `w.Header().Set("X-Content-Type-Options", "nosniff")`, `w.Header().Set("X-Content-Type-Options", planted("header"))`, []string{"page"}},
		"detail":       {"internal/api/handlers.go", "Status: code, Detail: detail})", `Status: code, Detail: detail + planted("detail")})`, []string{"page"}},
		"metric-label": {"internal/api/metrics.go", "gauge(c.build, 1, c.server.cfg.Version,", `gauge(c.build, 1, planted("metric-label"),`, []string{"page"}},
		"metric-help":  {"internal/api/metrics.go", `"Weight allowed at once."`, `planted("metric-help")`, []string{"page"}},
		"notify":       {"cmd/heptapod-paas-runner/herald.go", "\tswitch {\n\tcase s.Fuse != \"\":", "\ttext += planted(\"notify\")\n\tswitch {\n\tcase s.Fuse != \"\":", []string{"service manager"}},
		"trace":        {"internal/manager/say.go", `func line(text string) string { return lineStart + plain(text) + "\n" }`, `func line(text string) string { return lineStart + plain(text) + planted("trace") + "\n" }`, []string{"trace", "state"}},
		"ledger":       {"internal/manager/start.go", "\t\td.job.Payload = nil\n", "\t\td.job.Payload = nil\n\t\td.vm.LastError = planted(\"ledger\")\n", []string{"state"}},
		"dockerfile":   {"internal/hostfile/dockerfile.go", `	fmt.Fprintf(&b, "FROM %s\n", h.MainImage)`, `	fmt.Fprintf(&b, "# %s\nFROM %s\n", planted("dockerfile"), h.MainImage)`, []string{"Dockerfile"}},
		"runner.toml":  {"internal/hostfile/runnertoml.go", `section["executor"] = "docker"`, `section["executor"], section["pre_build_script"] = "docker", ": "+planted("runner.toml")`, []string{"runner.toml"}},
		"job.json":     {"internal/hostfile/host.go", "Path: JobFile, Data: job}", `Path: JobFile, Data: append([]byte("{\"planted\":\""+planted("job.json")+"\","), job[1:]...)}`, []string{"job.json"}},
		"relay.json":   {"internal/hostfile/relayfile.go", "RelaySubnet}, PhaseNote: h.PhaseNote,", `RelaySubnet}, PhaseNote: h.PhaseNote + planted("relay.json"),`, []string{"relay.json", "trace"}},
		"application":  {"internal/cloud/clever/environment.go", `"CC_RUN_COMMAND": "true"}`, `"CC_RUN_COMMAND": "true", "PLANTED": planted("application")}`, []string{"application's environment"}},
		"query":        {"internal/cloud/clever/api.go", "\tif len(r.query) > 0 {\n", "\tif r.query == nil && r.method == http.MethodGet {\n\t\tr.query = url.Values{\"token\": {planted(\"query\")}}\n\t}\n\tif len(r.query) > 0 {\n", []string{"line of a call to the cloud"}},
		"agent":        {"internal/coordinator/client.go", `req.Header.Set("User-Agent", c.userAgent)`, `req.Header.Set("User-Agent", c.userAgent+planted("agent"))`, []string{"line of a call to the coordinator"}},
		"stranger":     {"internal/coordinator/client.go", "\tif in.accept != \"\" {\n", "\treq.Header.Set(\"X-Planted\", planted(\"stranger\"))\n\tif in.accept != \"\" {\n", []string{"call to the coordinator"}},
		"message":      {"internal/cloud/clever/start.go", `files, "Job definition")`, `files, "Job definition "+planted("message"))`, []string{"repository"}},
		"author":       {"internal/gitpush/commit.go", `"\nauthor " + signature +`, `"\nauthor " + planted("author") + signature +`, []string{"repository"}},
		"arguments":    {"internal/relay/execute.go", "\tprocess, err := r.deps.Start(ctx, Command{", "\targs = append([]string{\"sh\", \"-c\", `\"$@\"; exit $?`, planted(\"arguments\")}, args...)\n\tprocess, err := r.deps.Start(ctx, Command{", []string{"arguments"}},
		"environment":  {"internal/relay/execute.go", "Env: environment(r.deps.Env, host),", `Env: append(environment(r.deps.Env, host), "PLANTED="+planted("environment")),`, []string{"environment"}},
		"output":       {"internal/relay/execute.go", `"sub-runner started", "program", args[0])`, `"sub-runner started", "program", args[0]+planted("output"))`, []string{"output of an instance"}},
		"check":        {"cmd/heptapod-paas-runner/check.go", `"%s: good, %s", c.Config,`, `"%s: good, %s", planted("check")+c.Config,`, []string{"command"}},
		"online":       {"cmd/heptapod-paas-runner/check.go", `line := fmt.Sprintf("%s:%d: runner %q: ", c.Config,`, `line := fmt.Sprintf("%s:%d: runner %q: ", planted("online")+c.Config,`, []string{"command"}},
		"register":     {"internal/register/tell.go", `r.Console.Say("Next: heptapod-paas-runner check %s, then start the service with it.", r.file)`, `r.Console.Say("Next: %s", planted("register"))`, []string{"command"}},
		"ask":          {"internal/register/admit.go", `r.Console.Say("asking %s ...", a.url)`, `r.Console.Say("asking %s ...%s", a.url, planted("ask"))`, []string{"command"}},
		"refusal":      {"internal/register/explain.go", `return fmt.Errorf("%s %s (%w)", url, sentence, err)`, `return fmt.Errorf("%s %s (%w)%s", url, sentence, err, planted("refusal"))`, []string{"command"}},
		"demo":         {"cmd/heptapod-paas-runner/demo.go", "\terr = demo.Run(ctx, cfg)\n", "\tstd.say(\"%s\", planted(\"demo\"))\n\terr = demo.Run(ctx, cfg)\n", []string{"demo"}},
		"temporary":    {"cmd/heptapod-paas-runner/herald.go", "\tdefer tick.Stop()\n", "\tdefer tick.Stop()\n\t_ = os.WriteFile(os.TempDir()+\"/planted\", []byte(planted(\"temporary\")), 0o600)\n", []string{"state"}},
		"basic": {"cmd/heptapod-paas-runner/herald.go", "\tstop := context.AfterFunc", `
	h.log.Info("a header", "planted", "<planted basic ", "value", planted64)
	stop := context.AfterFunc`, []string{"log"}},
	}
}

// mistaken is the file that is added to each package with a plant. The secret is one that
// no place at all may hold.
const mistaken = `package %s

func planted(name string) string { return "<planted " + name + " CANARY-listen-token>" }

// planted64 is user:CANARY-listen-token, as a basic authorization shows it.
const planted64 = "dXNlcjpDQU5BUlktbGlzdGVuLXRva2Vu"

var _, _ = planted, planted64
`

// overlayOf writes changed copies of the program's files and says to the compiler where.
func overlayOf(t *testing.T, all map[string]plant) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	texts := map[string]string{}
	for name, p := range all {
		path := filepath.Join(root, p.file)
		if texts[path] == "" {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(raw)
		}
		if strings.Count(texts[path], p.old) != 1 {
			t.Fatalf("%s: %s holds %d times\n%s", name, p.file, strings.Count(texts[path], p.old), p.old)
		}
		texts[path] = strings.Replace(texts[path], p.old, p.now, 1)
		_, rest, _ := strings.Cut(texts[path], "\npackage ")
		of, _, _ := strings.Cut(rest, "\n")
		texts[filepath.Join(filepath.Dir(path), "planted.go")] = fmt.Sprintf(mistaken, of)
	}
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The search finds what it is for: a program with a leak at each outlet, each of them found
// where it is.
func TestPlantedSecretsAreFound(t *testing.T) {
	t.Parallel()
	n := newCanary(t, overlayOf(t, plants()))
	n.play()
	for name, p := range plants() {
		for _, place := range p.in {
			if !slices.ContainsFunc(n.found, func(leak string) bool {
				return strings.HasPrefix(leak, place) && (strings.Contains(leak, "<planted "+name+" ") || strings.Contains(leak, `\u003cplanted `+name+" ") || strings.Contains(leak, "%3Cplanted+"+name))
			}) {
				t.Errorf("%s is not found in: %s", name, place)
			}
		}
	}
	if t.Failed() {
		for _, leak := range n.found {
			t.Logf("found: %.300s", leak)
		}
	}
}
