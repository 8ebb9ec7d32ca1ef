// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// places are the kinds of what leaves the process, or lies about.
func places() []string {
	return []string{
		"log", "trace", "page", "command", "demo", "arguments", "environment", "state", "configuration of a registration", "repository", "application's environment",
		"Dockerfile", "runner.toml", "job.json", "relay.json", "output of an instance", "service manager", "call to the cloud", "line of a call to the coordinator",
	}
}

// pages are all that the listener shows to who has the token.
func (n *canary) pages() {
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/", "/api/v1/status", "/api/v1/jobs", "/api/v1/jobs/100001", "/api/v1/instances", "/api/v1/audit", "/api/v1/x", "/debug/pprof/goroutine?debug=2"} {
		for _, bearer := range []string{nowhere()["listener"], ofCloud()["cc_token"]} {
			r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+n.port+path, nil)
			if err != nil {
				n.t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+bearer)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				n.t.Fatal(err)
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			n.lacks("page: "+path, fmt.Sprint(answer.Header)+string(text), n.all())
		}
	}
}

// run is what a command says and gives.
func (n *canary) run(env []string, input string, args ...string) {
	cmd := exec.Command(n.program, args...)
	cmd.Env = append(append(os.Environ(), "HOME="+filepath.Join(n.dir, "home")), env...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if len(out) == 0 {
		n.t.Errorf("%v says nothing: %v", args, err)
	}
	n.lacks("command: "+strings.Join(args, " "), string(out), n.all())
}

// commands are all that an operator may run beside the service.
func (n *canary) commands() {
	broken := n.write("bad.toml", strings.ReplaceAll(n.text(n.config), "= \"", "= 1 \""))
	for _, args := range [][]string{
		{"status", "-c", n.config}, {"status", "-c", n.config, "--json"}, {"audit", "-c", n.config}, {"audit", "-c", n.config, "--json"},
		{"audit", "-c", n.config, "--forget", ofCloud()["cc_token"][:6]}, {"check", n.config}, {"check", n.config, "--online"},
		{"--log-level", "debug", "run", n.config}, // held by the service
		{"check", broken}, {"run", broken}, {"status", "-c", broken},
	} {
		n.run(nil, "", args...)
	}
}

// registers adds runners: as told, as asked, and refused in every way.
func (n *canary) registers() {
	file := func(name string) string { return filepath.Join(n.dir, name+".toml") }
	given := func(more ...string) []string {
		return append([]string{"RUNNER_NAME=one", "RUNNER_EXECUTOR=clever-docker", "CC_ORGA_ID=orga_plain", "CC_TOKEN=" + ofCloud()["cc_token"], "CI_SERVER_URL=" + n.gitlab,
			"REGISTER_STATE_FILE_PATH=" + filepath.Join(n.dir, "other.db"), "REGISTER_MAX_CONCURRENCY=2", "CC_API_URL=" + n.clever + "/v2"}, more...)
	}
	s := everywhere(nowhere(), ofCloud())
	n.run(given("REGISTRATION_TOKEN="+s["registration"]), "", "--log-level", "debug", "register", "-n", file("told"))
	n.run(given("CI_SERVER_TOKEN="+s["runner token"]), "", "--log-level", "debug", "register", "-n", file("told"))
	n.run(nil, strings.Join([]string{filepath.Join(n.dir, "third.db"), "2", n.gitlab, "asked", s["registration"], "clever-docker", "orga_plain", s["cc_token"], "M", "2", ""}, "\n"),
		"--log-level", "debug", "register", file("asked"))
	for what, more := range map[string][]string{
		"refused": {"REGISTRATION_TOKEN=" + s["mistyped registration"]}, "nobody": {"CI_SERVER_TOKEN=" + s["mistyped token"], "CI_SERVER_URL=http://127.0.0.1:1"},
		"no API": {"CI_SERVER_TOKEN=" + s["mistyped token"], "CI_SERVER_URL=" + n.clever}, "white space": {"CI_SERVER_TOKEN=" + s["mistyped token"] + " x"},
		"user in a URL": {"CI_SERVER_TOKEN=x", "CI_SERVER_URL=http://user:" + s["proxy"] + "@127.0.0.1:1"},
	} {
		n.run(given(more...), "", "--log-level", "debug", "register", "-n", file(strings.ReplaceAll(what, " ", "-")))
	}
	for _, name := range []string{"told", "asked"} {
		if info, err := os.Stat(file(name)); err != nil || info.Mode().Perm() != 0o600 {
			n.t.Errorf("%s.toml: %v, %v", name, info, err)
			continue
		}
		n.lacks("configuration of a registration: "+name, n.text(file(name)), map[string]string{"registration": s["registration"], "administrator": s["administrator"]})
	}
}

// demo is the whole system beside this one; done gives what it says and writes.
func (n *canary) demo() (done func()) {
	var out bytes.Buffer
	file := filepath.Join(n.dir, "demo.json")
	cmd := exec.Command(n.program, "--log-level", "debug", "demo", "--json", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	return func() {
		_ = cmd.Wait() // on a busy computer its jobs may take longer than it likes: what it says is meant here
		secrets := everywhere(n.all(), map[string]string{"demo's runner token": gitlab.RunnerToken, "demo's cc_token": clever.FirstToken})
		n.lacks("demo: output", out.String(), secrets)
		if text, err := os.ReadFile(file); err == nil {
			n.lacks("demo: file", string(text), secrets)
		}
	}
}

// processes looks at the arguments and the environment of every process of this town: the
// service, the simulators, relays, sub-runners and scripts.
func (n *canary) processes() {
	hidden := everywhere(n.but(ofJobs()), n.standIns())
	ours := n.family()
	for _, pid := range ours {
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		n.lacks(fmt.Sprint("arguments: ", pid), string(args), everywhere(hidden, ofJobs()))
		if pid == n.service.Process.Pid {
			env = bytes.ReplaceAll(env, []byte(hidden["proxy"]), nil) // the operator's own way of saying it
		}
		if bytes.Contains(env, []byte("CI_JOB_ID=")) { // of a job's script: where `environment` goes
			env = bytes.ReplaceAll(env, []byte(hidden["registry"]), nil)
		}
		n.lacks(fmt.Sprint("environment: ", pid), string(env), hidden)
	}
	if len(ours) < 8 { // the service, two simulators; relay, sub-runner and script of a job and more
		n.t.Errorf("only %d processes of ours are seen", len(ours))
	}
	limits := n.text(fmt.Sprintf("/proc/%d/limits", n.service.Process.Pid))
	if _, rest, _ := strings.Cut(limits, "Max core file size"); strings.Join(strings.Fields(rest)[:2], " ") != "0 0" {
		n.t.Errorf("the service may leave a core file: %s", limits)
	}
}

// family are the service, the simulators and all that they have started.
func (n *canary) family() []int {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(list) == 0 {
		n.t.Fatal("no processes are shown: ", err)
	}
	children := map[int][]int{}
	for _, place := range list {
		stat, _ := os.ReadFile(place + "/stat") // one that has ended has none
		_, rest, _ := strings.Cut(string(stat), ") ")
		var state string
		var pid, parent int
		if _, err := fmt.Sscan(filepath.Base(place)+" "+rest, &pid, &state, &parent); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	out := append([]int{n.service.Process.Pid}, n.simulators...)
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}

// onDisk holds what the state folder may hold, and who may read it; and that nothing lies
// where temporary files do.
func (n *canary) onDisk(hidden map[string]string) {
	for _, folder := range []string{"state", "tmp", "home"} {
		err := filepath.WalkDir(filepath.Join(n.dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm() != 0o600 {
				n.t.Errorf("%s has mode %s", path, info.Mode())
			}
			n.lacks("state: "+path, n.text(path), hidden)
			return err
		})
		if err != nil {
			n.t.Error(err)
		}
	}
}

// repositories reads what a push is made of beside its files: authors, dates, messages. The
// instances run; when their task has ended, all of it is gone.
func (n *canary) repositories() {
	s := ofCloud()
	as := map[string]string{"orga_plain": "x:" + s["cc_token"], "orga_tenant": "x:" + s["group attribute"], "orga_user": s["OAuth token"] + ":" + s["OAuth secret"]}
	for _, app := range n.applications() {
		if app.State != "running" {
			continue
		}
		dir := filepath.Join(n.t.TempDir(), "clone")
		url := strings.Replace(n.clever, "://", "://"+as[app.Organisation]+"@", 1) + "/git/" + app.ID + ".git"
		if out, err := exec.Command("git", "clone", "--quiet", "--bare", url, dir).CombinedOutput(); err != nil {
			n.t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command("git", "-C", dir, "log", "--all", "--format=raw", "--name-only").Output()
		if err != nil {
			n.t.Fatal(err)
		}
		n.lacks("repository: "+app.Name, string(out), n.all())
	}
}

// instances holds what was pushed, what an instance says, and the environments of
// applications.
func (n *canary) instances() {
	pushed := 0
	allowed := map[string]map[string]string{
		"runner.toml": n.but(forwardedSecrets()), "job.json": n.but(ofJobs()), "client-key.pem": n.but(map[string]string{"client's key": ""}),
	}
	for _, app := range n.applications() {
		env, err := json.Marshal(app.Env)
		if err != nil {
			n.t.Fatal(err)
		}
		n.lacks("application's environment: "+app.Name, string(env), n.all())
		for path, content := range app.Files {
			hidden := allowed[path]
			if hidden == nil {
				hidden = n.all()
			}
			n.lacks(path+": "+app.Name, fmt.Sprint(content), hidden)
			if path == "relay.json" {
				pushed++
			}
		}
		n.lacks("output of an instance: "+app.Name, n.get(n.clever+"/_sim/applications/"+app.ID+"/output"), everywhere(n.all(), n.standIns()))
	}
	if pushed < 3 {
		n.t.Errorf("only %d instances were pushed to", pushed)
	}
	n.lacks("log", n.text(n.log.Name()), n.standIns())
	for _, j := range n.jobs() {
		n.lacks("trace", j.Trace, n.standIns())
	}
}

// standIns are what instances were given for themselves: in no log and no trace.
func (n *canary) standIns() map[string]string {
	out := map[string]string{}
	for _, app := range n.applications() {
		text, there := app.Files["relay.json"]
		if !there {
			continue
		}
		var given struct {
			StandIn string                  `json:"stand_in_token"`
			Notice  struct{ Bearer string } `json:"notice"`
		}
		if err := json.Unmarshal([]byte(fmt.Sprint(text)), &given); err != nil || given.StandIn == "" || given.Notice.Bearer == "" {
			n.t.Fatalf("relay.json gives no stand-in and no bearer: %v", err)
		}
		out["stand-in of "+app.Name], out["bearer of "+app.Name] = given.StandIn, given.Notice.Bearer
	}
	return out
}

func (n *canary) get(url string) string {
	answer, err := http.Get(url)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// messages are what the service manager was told.
func (n *canary) messages() {
	buf := make([]byte, 64<<10)
	for {
		if err := n.herald.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			n.t.Fatal(err)
		}
		size, err := n.herald.Read(buf)
		if err != nil {
			return
		}
		n.lacks("service manager", string(buf[:size]), n.all())
	}
}

// open tells whether a job has not ended, or an instance is left.
func (n *canary) open() bool {
	for _, j := range n.jobs() {
		if j.FinishedAt == nil {
			return true
		}
	}
	for _, app := range n.applications() {
		if app.State != "deleted" {
			return true
		}
	}
	return false
}
