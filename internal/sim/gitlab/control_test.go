// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// transcript writes down what is asked and answered.
type transcript struct {
	bench
	text strings.Builder
}

func (tr *transcript) ask(method, path, body string, headers ...string) {
	w := tr.call(method, path, body, headers...)
	fmt.Fprintf(&tr.text, "%s %s %s\n%d %s\n\n", method, path, body, w.Code, strings.TrimSpace(w.Body.String()))
}

func (tr *transcript) compare(t *testing.T, file string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(tr.text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), tr.text.String()); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}

// The control endpoints are used by scripts outside of the repository: what they answer
// is a promise, to the letter.
func TestControlEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := &transcript{bench: newBench(t, gitlab.Config{})}
		tr.ask("GET", "/_sim/jobs", "")
		tr.ask("POST", "/_sim/jobs", `{"script":["make"]}`)
		tr.ask("POST", "/_sim/jobs", `{"script":["make test"],"before_script":["cd src"],"after_script":["rm -r out"],"image":"golang",`+
			`"services":["redis",{"name":"postgres","alias":"db"}],"variables":{"A":"1","B":{"value":"2","file":true,"masked":true}},`+
			`"artifacts":{"paths":["out/"],"when":"always"},"dependencies":[100001],"git":true,"project":"team/sub/tool",`+
			`"tags":["big"],"timeout":90,"virtual_seconds":2.5}`)
		tr.ask("GET", "/_sim/jobs/100001", "")
		tr.ask("GET", "/_sim/jobs/100003", "")
		tr.ask("GET", "/_sim/jobs/x", "")

		time.Sleep(1500 * time.Millisecond)
		g := tr.acquire(graceful)
		time.Sleep(time.Second)
		tr.call("PATCH", g.path("/trace"), "hé<b>\n", "Job-Token", g.Token, "Content-Range", "0-6")
		tr.ask("POST", "/_sim/jobs/100001/cancel", "")
		time.Sleep(time.Second)
		tr.call("PUT", g.path(""), g.update(`"state":"failed","failure_reason":"script_failure","exit_code":137`))
		tr.ask("POST", "/_sim/jobs/100001/cancel", "{}")
		tr.ask("POST", "/_sim/jobs/100001/cancel", `{"force":true}`)
		tr.ask("POST", "/_sim/jobs/100009/cancel", "")
		tr.ask("GET", "/_sim/jobs", "")

		tr.ask("POST", "/_sim/jobs", `{"script":["false"],"timeout":"90m"}`)
		g = tr.acquire(graceful)
		tr.call("PUT", g.path(""), g.update(`"state":"failed","failure_reason":"script_failure","exit_code":1`))
		tr.ask("GET", "/_sim/jobs/100003", "")

		tr.ask("PUT", "/_sim/groups/team/attributes", `{"cc_orga_id":"orga_sim","cc_orga_token":"t"}`)
		tr.ask("PUT", "/_sim/groups/team%2Fsub/attributes", `{}`)
		tr.ask("PUT", "/_sim/groups/team/attributes", `{"a":1}`)
		tr.ask("POST", "/_sim/faults", `{"match":"GET /api/v4/job","status":503}`)
		tr.ask("GET", "/api/v4/job", "")
		tr.ask("GET", "/_sim/faults", "")
		tr.ask("DELETE", "/_sim/faults", "")
		tr.ask("GET", "/_sim/requests", "")
		tr.compare(t, "testdata/control.golden")
	})
}

func TestJobsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	for _, spec := range []string{
		``, `[]`, `{}`, `{"script":[]}`, `{"script":"true"}`,
		`{"script":["true"],"scripts":["true"]}`,
		`{"script":["true"]} {}`,
		`{"script":["true"],"project":"demo"}`,
		`{"script":["true"],"project":"a/../b"}`,
		`{"script":["true"],"project":"a/b.git"}`,
		`{"script":["true"],"timeout":-1}`,
		`{"script":["true"],"timeout":"soon"}`,
		`{"script":["true"],"virtual_seconds":-1}`,
		`{"script":["true"],"variables":{"A B":"1"}}`,
		`{"script":["true"],"variables":{"A":1}}`,
		`{"script":["true"],"variables":{"A":{"value":"1","secret":true}}}`,
		`{"script":["true"],"image":{"alias":"x"}}`,
		`{"script":["true"],"services":[""]}`,
		`{"script":["true"],"artifacts":{"paths":[]}}`,
		`{"script":["true"],"artifacts":{"paths":["a"],"when":"never"}}`,
		`{"script":["true"],"dependencies":[100001]}`,
	} {
		w := b.call("POST", "/_sim/jobs", spec)
		if w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
			t.Errorf("%s is answered %d %s", spec, w.Code, w.Body)
		}
	}
	if n := len(b.Jobs()); n != 0 {
		t.Errorf("%d jobs were queued all the same", n)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := &transcript{bench: newBench(t, gitlab.Config{URL: "https://gitlab.example/", Seed: 7})}
		needed := tr.running(`{"script":["true"]}`)
		tr.upload(needed, []byte("zip"))
		tr.expect("200 200", "PUT", needed.path(""), needed.update(`"state":"success"`))
		tr.queue(`{"script":["make test"],"before_script":["cd src"],"after_script":["rm -r out"],` +
			`"image":{"name":"golang","entrypoint":[""]},"services":["redis",{"name":"postgres","alias":"db"}],` +
			`"variables":{"CI_CLEVER_CLOUD_FLAVOR":"S","KEY":{"value":"2","file":true},"PASSWORD":{"value":"secret","masked":true}},` +
			`"artifacts":{"paths":["out/"],"when":"always"},"dependencies":[100001],"project":"team/sub/tool","timeout":90,"virtual_seconds":2.5}`)
		time.Sleep(2 * time.Second)
		tr.ask("POST", request, graceful)
		text := strings.ReplaceAll(tr.text.String(), `,"`, ",\n\"") // one field a line, for people
		tr.text.Reset()
		tr.text.WriteString(text)
		tr.compare(t, "testdata/payload.golden")
	})
}
