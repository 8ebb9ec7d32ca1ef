// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
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
		`{"script":["true"],"artifacts":{"reports":{"novel":["a"]}}}`,
		`{"script":["true"],"artifacts":{"reports":{"junit":[]}}}`,
		`{"script":["true"],"cache":[{"key":"a"}]}`,
		`{"script":["true"],"cache":[{"paths":["a"],"policy":"never"}]}`,
		`{"script":["true"],"hooks":{"on_tuesdays":["true"]}}`,
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

func TestPayloadOfReportsCachesHooksAndOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	b.queue(`{"script":["make"],"artifacts":{"paths":["out"],"exclude":["out/tmp"],"reports":{"junit":["r.xml"],"sast":["s.json"]},"expire_in":"1 day"},` +
		`"cache":[{"key":"go","paths":["c"],"fallback_keys":["main"]}],"hooks":{"pre_get_sources_script":["echo hi"]},` +
		`"payload":{"git_info":{"repo_url":"https://heptapod.example/g/p","repo_type":"hg"},"novel":{"a":[1]},"services":null}}`)
	w := b.call("POST", request, `{"token":"sim-runner-token","info":{"features":{"upload_multiple_artifacts":true,"artifacts_exclude":true,"fallback_cache_keys":true}}}`)
	if w.Code != http.StatusCreated {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	var got struct {
		Artifacts []map[string]any `json:"artifacts"`
		Cache     []map[string]any `json:"cache"`
		Hooks     []map[string]any `json:"hooks"`
		GitInfo   map[string]any   `json:"git_info"`
		Novel     any              `json:"novel"`
		Services  any              `json:"services"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"archive zip", "junit gzip", "sast raw"} {
		if a := got.Artifacts[i]; fmt.Sprint(a["artifact_type"], " ", a["artifact_format"]) != want || a["expire_in"] != "1 day" {
			t.Errorf("artifact %d is %v, want %s for a day", i, a, want)
		}
	}
	if c := got.Cache[0]; c["key"] != "go" || c["policy"] != "pull-push" || fmt.Sprint(c["fallback_keys"]) != "[main]" {
		t.Errorf("cache %v", c)
	}
	if h := got.Hooks[0]; h["name"] != "pre_get_sources_script" || fmt.Sprint(h["script"]) != "[echo hi]" {
		t.Errorf("hook %v", h)
	}
	if g := got.GitInfo; g["repo_url"] != "https://heptapod.example/g/p" || g["repo_type"] != "hg" || g["ref"] != "main" {
		t.Errorf("git_info %v: want what was posted laid over what is made", g)
	}
	if fmt.Sprint(got.Novel) != "map[a:[1]]" || got.Services != nil {
		t.Errorf("novel %v, services %v", got.Novel, got.Services)
	}
}

func TestJobsThatARunnerCannotRunAreDropped(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		`{"script":["true"],"artifacts":{"reports":{"junit":["r.xml"]}}}`,
		`{"script":["true"],"artifacts":{"paths":["a"],"exclude":["b"]}}`,
		`{"script":["true"],"cache":[{"paths":["a"],"fallback_keys":["b"]}]}`,
	} {
		b := newBench(t, gitlab.Config{LongPoll: -1})
		id := b.queue(spec)
		b.expect("204", "POST", request, `{"token":"sim-runner-token"}`)
		if j := b.job(id); j.Status != "failed" || j.FailureReason == nil || *j.FailureReason != "runner_unsupported" {
			t.Errorf("%s: %s", spec, j.Status)
		}
	}
}
