// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/secret"
)

// recorded gives the recorded payloads by file name.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/payload-*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("recorded payloads: %v, %v", files, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = raw
	}
	return out
}

func TestRecordedPayloads(t *testing.T) {
	t.Parallel()
	for name, raw := range recorded(t) {
		p, err := coordinator.ParsePayload(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var plain struct {
			ID      int64  `json:"id"`
			Token   string `json:"token"`
			GitInfo struct {
				RepoURL string `json:"repo_url"`
			} `json:"git_info"`
			Variables []struct {
				Key    string `json:"key"`
				Value  string `json:"value"`
				Masked bool   `json:"masked"`
			} `json:"variables"`
		}
		if err := json.Unmarshal(raw, &plain); err != nil {
			t.Fatal(err)
		}
		type summary struct {
			ID                                 int64
			Token                              secret.String
			Name, Project, Root, WebURL, Clone string
			Timeout                            time.Duration
			Variables                          int
		}
		got := summary{p.ID, p.Token, p.Name, p.Project, p.RootNamespace, p.WebURL, p.RepoURL, p.Timeout, len(p.Variables)}
		want := summary{
			plain.ID, secret.New(plain.Token), "lab job", "group/proj", "group",
			fmt.Sprintf("http://127.0.0.1:18080/group/proj/-/jobs/%d", plain.ID),
			strings.Replace(plain.GitInfo.RepoURL, "gitlab-ci-token:"+plain.Token+"@", "", 1),
			600 * time.Second, len(plain.Variables),
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b secret.String) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if strings.Contains(p.RepoURL, plain.Token) || p.RepoURL == "" {
			t.Errorf("%s: RepoURL %q", name, p.RepoURL)
		}
		for i, v := range plain.Variables {
			if w := p.Variables[i]; w.Key != v.Key || w.Value.Reveal() != v.Value || w.Masked != v.Masked {
				t.Errorf("%s: variable %d is %v", name, i, w.Key)
			}
		}
		if !bytes.Equal(p.Raw, raw) {
			t.Errorf("%s: Raw is not what came", name)
		}
	}
}

// TestACutPayloadStillNamesItsJob cuts recorded payloads all along: from the byte after
// the token on, the job is named.
func TestACutPayloadStillNamesItsJob(t *testing.T) {
	t.Parallel()
	for name, raw := range recorded(t) {
		whole, err := coordinator.ParsePayload(raw)
		if err != nil {
			t.Fatal(err)
		}
		known := bytes.Index(raw, []byte(whole.Token.Reveal())) + len(whole.Token.Reveal()) + len(`"`)
		end := len(bytes.TrimSpace(raw))
		for cut := 0; cut < end; cut += 11 {
			_, err := coordinator.ParsePayload(raw[:cut])
			u, named := errors.AsType[*coordinator.UnreadableError](err)
			if err == nil || named != (cut >= known) || named && (u.ID != whole.ID || u.Token != whole.Token) {
				t.Errorf("%s cut at %d: got %v", name, cut, err)
			}
		}
	}
}

func TestPayloadEdges(t *testing.T) {
	t.Parallel()
	const head, repo = `{"id":42,"token":"t"`, `,"git_info":{"repo_url":"https://x/git/mine/b.git"}`
	variables := func(pairs ...string) string {
		var out []string
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, fmt.Sprintf(`{"key":%q,"value":%q}`, pairs[i], pairs[i+1]))
		}
		return `,"variables":[` + strings.Join(out, ",") + `]`
	}
	type view struct {
		Project, Root, WebURL, RepoURL string
		Timeout                        time.Duration
		Flavor                         string
	}
	for name, tc := range map[string]struct {
		raw  string
		want view
	}{
		"nothing else":     {head + `}`, view{}},
		"nulls everywhere": {head + `,"job_info":null,"git_info":null,"runner_info":null,"variables":null,"steps":null}`, view{}},
		"unknown fields":   {head + `,"later":{"id":7,"token":"x"},"job_info":{"later":[]}}`, view{}},
		"project by variables": {
			head + variables("CI_PROJECT_PATH", "a/b/c", "CI_JOB_URL", "https://x/a/-/jobs/1") + `}`,
			view{Project: "a/b/c", Root: "a", WebURL: "https://x/a/-/jobs/1"},
		},
		"root by variable, and nothing else": {
			head + variables("CI_PROJECT_ROOT_NAMESPACE", "top") + `}`, view{Root: "top"},
		},
		"root by variable, as the repository has it": {
			head + `,"git_info":{"repo_url":"https://x/top/sub/b.git"}` + variables("CI_PROJECT_ROOT_NAMESPACE", "top") + `}`,
			view{Root: "top", RepoURL: "https://x/top/sub/b.git"},
		},
		"root by variable, and the repository is another's": {
			head + `,"git_info":{"repo_url":"https://x/mine/top/b.git"}` + variables("CI_PROJECT_ROOT_NAMESPACE", "top") + `}`,
			view{RepoURL: "https://x/mine/top/b.git"},
		},
		"a job that claims another group": {
			head + `,"job_info":{"project_full_path":"mine/b"}` + variables("CI_PROJECT_ROOT_NAMESPACE", "mine", "CI_PROJECT_ROOT_NAMESPACE", "rich") + `}`,
			view{Project: "mine/b", Root: "mine"},
		},
		"the same, at a coordinator that tells no path": {
			head + repo + variables("CI_PROJECT_PATH", "mine/b", "CI_PROJECT_ROOT_NAMESPACE", "mine", "CI_PROJECT_PATH", "rich/b", "CI_PROJECT_ROOT_NAMESPACE", "rich") + `}`,
			view{Project: "mine/b", Root: "mine", RepoURL: "https://x/git/mine/b.git"},
		},
		"the same, a subgroup of its own being called so": {
			head + `,"git_info":{"repo_url":"https://x/mine/rich/b.git"}` + variables("CI_PROJECT_PATH", "mine/rich/b", "CI_PROJECT_PATH", "rich/b") + `}`,
			view{RepoURL: "https://x/mine/rich/b.git"},
		},
		"the same, at one that tells nothing": {
			head + variables("CI_PROJECT_ROOT_NAMESPACE", "mine", "CI_PROJECT_ROOT_NAMESPACE", "rich") + `}`, view{},
		},
		"a Mercurial repository": {
			head + `,"git_info":{"repo_url":"https://x/mine/sub/b"}` + variables("CI_PROJECT_PATH", "mine/sub/b") + `}`,
			view{Project: "mine/sub/b", Root: "mine", RepoURL: "https://x/mine/sub/b"},
		},
		"the last variable of a name counts": {
			head + variables("CI_CLEVER_CLOUD_FLAVOR", "XS", "B", "1", "CI_CLEVER_CLOUD_FLAVOR", "L") + `}`, view{Flavor: "L"},
		},
		"credentials in URLs go": {
			head + `,"git_info":{"repo_url":"https://u:p@x/a.git"}` + variables("CI_JOB_URL", "https://u:p@x/1") + `}`,
			view{WebURL: "https://x/1", RepoURL: "https://x/a.git"},
		},
		"no URL at all":    {head + `,"git_info":{"repo_url":"ht tp://%zz@"}}`, view{}},
		"negative timeout": {head + `,"runner_info":{"timeout":-1}}`, view{}},
		"endless timeout":  {head + `,"runner_info":{"timeout":9223372036854775807}}`, view{Timeout: 366 * 24 * time.Hour}},
	} {
		p, err := coordinator.ParsePayload([]byte(tc.raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		flavor, _ := p.Variable("CI_CLEVER_CLOUD_FLAVOR")
		if diff := cmp.Diff(tc.want, view{p.Project, p.RootNamespace, p.WebURL, p.RepoURL, p.Timeout, flavor}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestUnreadablePayloads(t *testing.T) {
	t.Parallel()
	const id, token = `"id":42`, `"token":"CANARY"`
	for raw, named := range map[string]bool{
		`{` + id + `,` + token:                                        true,
		`{` + id + `,` + token + `,"variables":[{"key`:                true,
		`{` + token + `,"job_info":{"id":7,"x":[[{}]]},` + id + `,!`:  true,
		`{` + id + `,` + token + `,"variables":"many"}`:               true,
		`{` + id + `,` + token + `,"runner_info":{"timeout":"1h"}}`:   true,
		`{` + id + `,` + token + `} and more`:                         true,
		"\ufeff{" + id + `,` + token + `}`:                            true,
		`{` + id + `,` + token + `,"a":` + strings.Repeat("[", 20000): true,
		`{"dependencies":[{` + id + `,` + token + `}],`:               false, // another job's
		`{"job_info":{` + id + `},` + token + `,`:                     false,
		`{` + id + `,"tok`:                                            false,
		`{"id":"42",` + token + `}`:                                   false,
		`{"id":-42,` + token + `}`:                                    false,
		`{"id":4.2e1,` + token + `}`:                                  false,
		`{"id":99999999999999999999,` + token + `}`:                   false,
		`{"id":42,"token":7}`:                                         false,
		`{"id":42,"token":""}`:                                        false,
		`{"id":0,` + token + `}`:                                      false,
		`{}`:                                                          false,
		`[{` + id + `,` + token + `}]`:                                true, // in a list, as a gateway may wrap it
		``:                                                            false,
		`null`:                                                        false,
		"\x00\x01":                                                    false,
		strings.Repeat(`{"a":`, 20000):                                false,
	} {
		name := raw[:min(len(raw), 80)]
		p, err := coordinator.ParsePayload([]byte(raw))
		if err == nil {
			t.Errorf("%s: parsed as %v", name, p)
			continue
		}
		u, ok := errors.AsType[*coordinator.UnreadableError](err)
		if ok != named || ok && (u.ID != 42 || u.Token.Reveal() != "CANARY") {
			t.Errorf("%s: got %v", name, err)
		}
		clean(t, name, err)
	}
}

func TestAPayloadPrintsNoSecret(t *testing.T) {
	t.Parallel()
	p, err := coordinator.ParsePayload([]byte(`{"id":42,"token":"CANARY","job_info":{"project_full_path":"a/b"},"variables":[{"key":"K","value":"CANARY"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", p, "v", *p, "variables", p.Variables)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p, "v", *p, "variables", p.Variables)
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v %#v", p, p, p, p, p, p, *p, p.Variables, p.Variables) + log.String() + string(raw)
	if strings.Contains(all, "CANARY") || strings.Contains(all, "43414e415259") {
		t.Errorf("a secret is shown: %s", all)
	}
	if !strings.Contains(all, "job 42 of a/b") {
		t.Errorf("the job is not named: %s", all)
	}
}
