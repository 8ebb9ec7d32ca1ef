// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

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
}
