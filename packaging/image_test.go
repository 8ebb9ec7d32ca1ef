// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/engine"
)

// The image is what a real engine loads and runs, as a user without rights.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs root and a Docker Engine")
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "image.tar")
	cmd := exec.CommandContext(t.Context(), "image/build", "heptapod-paas-runner:test", runtime.GOARCH, file)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1790000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e := engine.Start(t, engine.Options{})
	e.Must(t, http.MethodPost, "/images/load?quiet=1", bytes.NewReader(read(t, file)), new([]byte))
	for _, c := range []struct {
		argv []string
		code int
		want string
	}{
		{[]string{"version"}, 0, "heptapod-paas-runner "},
		{nil, 3, "/etc/heptapod-paas-runner/paas-runner.toml"}, // no configuration is mounted
	} {
		config := map[string]any{"Image": "heptapod-paas-runner:test", "HostConfig": map[string]any{"ReadonlyRootfs": true, "CapDrop": []string{"ALL"}}}
		if c.argv != nil {
			config["Cmd"] = c.argv
		}
		id := e.Run(t, "", config)
		if code, out := e.Wait(t, id), e.Output(t, id); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v ended with %d and wrote\n%s", c.argv, code, out)
		}
	}
	var seen struct{ Config struct{ User string } }
	e.Must(t, http.MethodGet, "/images/heptapod-paas-runner:test/json", nil, &seen)
	if seen.Config.User != "65532:65532" {
		t.Errorf("it runs as %q", seen.Config.User)
	}
	serve(t, e)
}

// serve runs the service from the image, as docs/operating.md says, beside simulators from
// the same image, and a job.
func serve(t *testing.T, e *engine.Engine) {
	for _, name := range []string{"gitlab --listen 127.0.0.1:8080", "clever --listen 127.0.0.1:8081 --sub-runner virtual"} {
		e.Run(t, "", map[string]any{
			"Image": "heptapod-paas-runner:test", "Cmd": append([]string{"sim"}, strings.Fields(name)...), "HostConfig": map[string]any{"NetworkMode": "host"},
		})
	}
	operator := e.Create(t, "", map[string]any{"Image": "heptapod-paas-runner:test", "HostConfig": map[string]any{"Binds": []string{"conf:/etc/heptapod-paas-runner"}}})
	config := strings.Replace(string(read(t, "testdata/paas-runner.toml")), "token_file = \"/run/credentials/heptapod-paas-runner.service/runner-token\"", "token = \"sim-runner-token\"", 1)
	e.Put(t, operator, engine.File{Path: "etc/heptapod-paas-runner/paas-runner.toml", Data: config, Mode: 0o644})
	service := e.Run(t, "", map[string]any{"Image": "heptapod-paas-runner:test", "HostConfig": map[string]any{
		"NetworkMode": "host", "ReadonlyRootfs": true, "CapDrop": []string{"ALL"}, "Binds": []string{"conf:/etc/heptapod-paas-runner:ro"},
	}})
	if out, code := e.Exec(t, service, "/usr/bin/heptapod-paas-runner", "check", "--online", "/etc/heptapod-paas-runner/paas-runner.toml"); code != 0 {
		t.Errorf("check ended with %d and wrote\n%s", code, out)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: e.Dial}, Timeout: 5 * time.Second}
	answer, err := client.Post("http://127.0.0.1:8080/_sim/jobs", "application/json", strings.NewReader(`{"script":["true"],"virtual_seconds":1}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		var job struct{ Status, Trace string }
		answer, err := client.Get("http://127.0.0.1:8080/_sim/jobs/100001")
		if err == nil {
			err = json.NewDecoder(answer.Body).Decode(&job)
			answer.Body.Close()
		}
		if err == nil && job.Status == "success" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the job: %+v, %v; the service wrote\n%s", job, err, e.Output(t, service))
		}
	}
	e.Must(t, http.MethodPost, "/containers/"+service+"/stop", nil, nil)
	if code := e.Wait(t, service); code != 0 {
		t.Errorf("stopped, the service ended with %d and wrote\n%s", code, e.Output(t, service))
	}
}
