// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"strings"
	"testing"

	"heptapod-paas-runner/internal/fleet"
)

// FuzzCheckImage: an image that passes stands in one line of a Dockerfile, as one word, and
// changes no other.
func FuzzCheckImage(f *testing.F) {
	for _, s := range []string{"debian:12", "r.example:443/a/b_c:1@sha256:" + strings.Repeat("a", 64), "a\nRUN id", "a AS b", "--platform=x", "$X", "a\\", "#", "a\u2028b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, image string) {
		if fleet.CheckImage(image) != nil {
			return
		}
		text := string(dockerfile(Host{Mode: ModeRelay, MainImage: image, RelayImage: image}))
		if image == "" || strings.ContainsAny(image, " \t\r\n$\\#\"'`") || image[0] == '-' || strings.Count(text, "\n") != 4 || !strings.HasPrefix(text, "FROM "+image+"\nCOPY ") {
			t.Errorf("%q makes\n%s", image, text)
		}
	})
}
