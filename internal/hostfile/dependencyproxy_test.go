// SPDX-License-Identifier: Apache-2.0

package hostfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/hostfile"
)

const proxy = "gitlab.test:443/group/dependency_proxy/containers"

// rendered gives job.json of a job with these members and the proxy's variable.
func rendered(t *testing.T, members string) []byte {
	t.Helper()
	h := host()
	h.Payload = fmt.Appendf(nil, `{"id":9007199254740993,%s,"variables":[
		{"key":"V","value":"bullseye"},{"key":"FULL","value":"debian:$V"},{"key":"LOOP","value":"$LOOP$LOOP"},
		{"key":"CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX","value":%q}]}`, members, proxy)
	return render(t, h)[hostfile.JobFile].Data
}

func TestDependencyProxyRewritesHubImages(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"debian:bullseye":                 proxy + "/library/debian:bullseye",
		"debian:$V":                       proxy + "/library/debian:bullseye",
		"${FULL}":                         proxy + "/library/debian:bullseye",
		"heptapod/heptapod:latest":        proxy + "/heptapod/heptapod:latest",
		"docker.io/x":                     proxy + "/library/x",
		"index.docker.io/a/b":             proxy + "/a/b",
		"registry.example:443/g/p:latest": "registry.example:443/g/p:latest",
		"registry.example/$V":             "registry.example/$V", // not even expanded
		"localhost/x":                     "localhost/x",
		"Upper/x":                         "Upper/x",
		"$LOOP":                           "$LOOP",
		"$UNKNOWN":                        "$UNKNOWN",
	} {
		got, _ := image(t, rendered(t, fmt.Sprintf(`"image":{"name":%q,"ports":[]}`, name)))
		if got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestDependencyProxyKeepsServiceNames(t *testing.T) {
	t.Parallel()
	digest := "nginx@sha256:" + strings.Repeat("0", 64)
	_, got := image(t, rendered(t, `"image":null,"services":[
		{"name":"nginx:latest"},{"name":"tutum/wordpress","alias":null},{"name":"docker.io/redis:7","alias":""},
		{"name":"postgres:15","alias":"db"},{"name":"registry.test/x"},{"alias":"nameless"},{"name":"`+digest+`"}]`))
	want := []map[string]any{
		{"name": proxy + "/library/nginx:latest", "alias": "nginx"},
		{"name": proxy + "/tutum/wordpress", "alias": "tutum-wordpress"},
		{"name": proxy + "/library/redis:7", "alias": "redis"},
		{"name": proxy + "/library/postgres:15", "alias": "db"},
		{"name": "registry.test/x"},
		{"alias": "nameless"},
		{"name": proxy + "/library/" + digest, "alias": "nginx"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDependencyProxyLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	job := rendered(t, `"image":{"name":"a"},"steps":[{"script":["a <b> & c","\u0000"]}],"big":12345678901234567890`)
	for _, want := range []string{`9007199254740993`, `12345678901234567890`, `a <b> & c`, `\u0000`} {
		if !bytes.Contains(job, []byte(want)) {
			t.Errorf("%s is lost in %s", want, job)
		}
	}
	for _, members := range []string{`"image":"a"`, `"services":{}`, `"image":{"name":7}`, `"x":1`} {
		if got := rendered(t, members); !json.Valid(got) || !bytes.Contains(got, []byte(members)) {
			t.Errorf("%s became %s", members, got)
		}
	}
}
