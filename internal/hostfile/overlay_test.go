// SPDX-License-Identifier: Apache-2.0

package hostfile_test

import (
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/hostfile"
)

// What the infrastructure insists on wins over what the operator wrote, in whichever case,
// and leaves the operator's own labels alone.
func TestDockerOverlay(t *testing.T) {
	t.Parallel()
	forward := map[string]any{"Docker": map[string]any{
		"Memory": "64g", "image": "x", "Container_Labels": map[string]any{"team": "a", "key": "forged"},
	}}
	over := map[string]any{"memory": "1g", "disable_cache": true, "container_labels": map[string]any{"key": "ours"}}
	for _, mode := range []string{hostfile.ModeRelay, hostfile.ModeExecFetchedJob} {
		h := host()
		h.Mode, h.Forward, h.Docker = mode, forward, over
		text := string(render(t, h)[hostfile.RunnerFile].Data)
		var got struct {
			Runners []struct {
				Docker map[string]any `toml:"docker"`
			} `toml:"runners"`
		}
		if _, err := toml.Decode(text, &got); err != nil {
			t.Fatal(err)
		}
		docker := got.Runners[0].Docker
		delete(docker, "network_mode")
		want := map[string]any{"memory": "1g", "image": "x", "disable_cache": true, "container_labels": map[string]any{"team": "a", "key": "ours"}}
		if diff := cmp.Diff(want, docker); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
	}
	if labels := forward["Docker"].(map[string]any)["Container_Labels"].(map[string]any); labels["key"] != "forged" {
		t.Error("the operator's own section was changed")
	}
}
