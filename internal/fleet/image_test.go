// SPDX-License-Identifier: Apache-2.0

package fleet_test

import (
	"strings"
	"testing"

	"heptapod-paas-runner/internal/fleet"
)

func TestImageReferences(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for image, good := range map[string]bool{
		"debian": true, "debian:12": true, "library/debian": true, "a.b/c": true, "localhost:5000/x/y__z:T_1.2-3": true,
		"registry.heptapod.net:443/heptapod/heptapod-runner/runner:0.7.0": true,
		"debian" + digest: true, "[::1]:5000/x:1" + digest: true,
		"": false, "Debian": false, "a b": false, "a\n": false, "a\nRUN x": false, "--platform=x a": false, "a:": false,
		"a:-x": false, "$A": false, "a/${B}": false, "a//b": false, "/a": false, "a@sha256:1": false, "a AS b": false,
		"https://a/b": false, "a:1:2": false, "a\\": false, "#a": false, strings.Repeat("a", 600): false,
	} {
		if err := fleet.CheckImage(image); (err == nil) != good {
			t.Errorf("%q: %v", image, err)
		}
	}
}
