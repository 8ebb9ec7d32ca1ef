// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/memnet"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
)

const unauthorized = `401 {"message":"401 Unauthorized"}`

func TestReadsNeedTheAdministrator(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	for _, path := range []string{
		"/api/v4/projects/1/jobs/100001", "/api/v4/projects/1/jobs/100001/trace", "/api/v4/groups/sim/custom_attributes",
		"/api/v4/groups/sim/custom_attributes/x", "/api/v4/runners/1", "/api/v4/runners/1/jobs", "/api/v4/runners/1/managers",
	} {
		b.expect(unauthorized, "GET", path, "")
		b.expect(unauthorized, "GET", path, "", "Private-Token", gitlab.RunnerToken)
		b.expect(unauthorized, "GET", path, "", "Job-Token", g.Token)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := &transcript{bench: newBench(t, gitlab.Config{})}
		admin := []string{"Private-Token", gitlab.AdminToken}
		tr.SetAttributes("team", map[string]string{"cc_orga_id": "orga_sim", "cc_orga_token": "t"})
		tr.queue(`{"script":["true"],"project":"team/sub/tool","tags":["big"]}`)
		time.Sleep(time.Second)
		g := tr.acquire(`{"token":"sim-runner-token","system_id":"s_1","info":{"name":"gitlab-runner","version":"17.9.0","platform":"linux","architecture":"amd64"}}`)
		tr.call("PATCH", g.path("/trace"), "hello\n", "Job-Token", g.Token, "Content-Range", "0-5")
		for _, path := range []string{
			"/api/v4/projects/team%2Fsub%2Ftool/jobs/100001", "/api/v4/projects/2/jobs/100001", "/api/v4/projects/2/jobs/100001/trace",
			"/api/v4/projects/1/jobs/100001", "/api/v4/projects/2/jobs/100002",
			"/api/v4/groups/team/custom_attributes", "/api/v4/groups/1/custom_attributes", "/api/v4/groups/team/custom_attributes/cc_orga_id",
			"/api/v4/groups/team/custom_attributes/x", "/api/v4/groups/nobody/custom_attributes", "/api/v4/groups/team%2Fsub/custom_attributes",
			"/api/v4/runners/1", "/api/v4/runners/1/managers", "/api/v4/runners/9/managers",
			"/api/v4/runners/1/jobs", "/api/v4/runners/1/jobs?status=success", "/api/v4/runners/1/jobs?per_page=1&page=2",
		} {
			tr.ask("GET", path, "", admin...)
		}
		tr.ask("POST", "/api/v4/projects/2/jobs/100001/cancel", "", admin...)
		tr.ask("GET", "/api/v4/projects/2/jobs/100001", "", "Authorization", "Bearer "+gitlab.AdminToken)
		tr.ask("GET", "/api/v4/nothing", "")
		tr.compare(t, "testdata/reads.golden")
	})
}

func TestRunnersComeAndGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	b.expect(forbidden, "POST", "/api/v4/runners/verify", `{"token":"x"}`)
	b.expect(`400 {"error":"token is missing"}`, "POST", "/api/v4/runners/verify", `{}`)
	b.expect(`200 {"id":1,"token":"sim-runner-token","token_expires_at":null}`, "POST", "/api/v4/runners/verify", `{"token":"sim-runner-token","system_id":"s_1"}`)
	b.expect("204", "DELETE", "/api/v4/runners/managers", `{"token":"sim-runner-token","system_id":"s_1"}`)
	b.expect(`404 {"message":"404 Runner Manager Not Found"}`, "DELETE", "/api/v4/runners/managers", `{"token":"sim-runner-token","system_id":"s_1"}`)
	b.expect(`400 {"error":"system_id is missing"}`, "DELETE", "/api/v4/runners/managers", `{"token":"sim-runner-token"}`)
	b.expect(`501 {"message":"501 Not Implemented"}`, "GET", "/api/v4/runners/router/discovery", "", "Runner-Token", "sim-runner-token")
	b.expect(forbidden, "GET", "/api/v4/runners/router/discovery", "", "Private-Token", "sim-runner-token")

	w := b.call("POST", "/api/v4/runners/reset_authentication_token", `{"token":"glrt-old"}`)
	body := w.Body.String()
	token, _, ok := strings.Cut(strings.TrimPrefix(body, `{"token":"`), `"`)
	if w.Code != http.StatusCreated || !ok || !strings.HasPrefix(token, "glrt-") {
		t.Fatalf("reset: %d %s", w.Code, body)
	}
	b.expect(forbidden, "POST", request, `{"token":"glrt-old"}`)
	b.expect("204", "POST", request, fmt.Sprintf(`{"token":%q}`, token))
	b.expect("204", "DELETE", "/api/v4/runners", fmt.Sprintf(`{"token":%q}`, token))
	b.expect(forbidden, "POST", request, fmt.Sprintf(`{"token":%q}`, token))

	b.expect(unauthorized, "POST", "/api/v4/user/runners", `{"runner_type":"instance_type"}`)
	w = b.call("POST", "/api/v4/user/runners", `{"runner_type":"instance_type","tag_list":["big"]}`, "Private-Token", gitlab.AdminToken)
	if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"token":"glrt-`) {
		t.Errorf("create a runner: %d %s", w.Code, w.Body)
	}
}

func TestARunnerKeepsWhatItWasRegisteredWith(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	register := func(more string) string { return `{"token":"sim-registration-token"` + more + `}` }
	b.expect(`400 {"message":{"maximum_timeout":["needs to be at least 10 minutes"]}}`, "POST", "/api/v4/runners", register(`,"maximum_timeout":599`))
	b.expect(`400 {"error":"access_level does not have a valid value"}`, "POST", "/api/v4/runners", register(`,"access_level":"other"`))
	b.expect(`400 {"message":{"tags_list":["can not be empty when runner is not allowed to pick untagged jobs"]}}`, "POST", "/api/v4/runners", register(`,"run_untagged":false`))
	w := b.call("POST", "/api/v4/runners", register(`,"description":"d","maintenance_note":"n","tag_list":"a, b","run_untagged":false,"locked":true,"access_level":"ref_protected","maximum_timeout":600,"paused":true`))
	if w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	admin := []string{"Private-Token", gitlab.AdminToken}
	b.expect(`200 {"access_level":"ref_protected","active":false,"description":"d","id":2,"is_shared":true,"locked":true,"maintenance_note":"n","maximum_timeout":600,"online":true,"paused":true,"run_untagged":false,"runner_type":"instance_type","status":"online","tag_list":["a","b"]}`,
		"GET", "/api/v4/runners/2", "", admin...)
	b.expect(`404 {"message":"404 Runner Not Found"}`, "GET", "/api/v4/runners/3", "", admin...)
	b.expect(unauthorized, "GET", "/api/v4/runners/all", "")
	if got := b.call("GET", "/api/v4/runners/all", "", admin...).Body.String(); strings.Count(got, `"description"`) != 2 || !strings.Contains(got, `"description":"d"`) {
		t.Errorf("all runners: %s", got)
	}
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{MaxArtifact: 1000})
	g, stranger := b.running(`{"script":["true"]}`), b.running(`{"script":["true"]}`)
	b.expect(`404 {"message":"404 Not Found"}`, "GET", g.path("/artifacts"), "", "Job-Token", g.Token)
	for range 2 { // the runner repeats an upload whose answer was lost
		if w := b.upload(g, []byte("zip")); w.Code != http.StatusCreated {
			t.Errorf("upload: %d %s", w.Code, w.Body)
		}
	}
	if w := b.upload(g, []byte("other")); w.Code != http.StatusBadRequest {
		t.Errorf("another archive: %d %s", w.Code, w.Body)
	}
	b.expect("200 zip", "GET", g.path("/artifacts"), "", "Job-Token", g.Token)
	b.expect("200 zip", "GET", g.path("/artifacts?job_token="+g.Token), "")
	b.expect(forbidden, "GET", g.path("/artifacts"), "", "Job-Token", stranger.Token)
	b.expect(unauthorized, "GET", g.path("/artifacts"), "", "Job-Token", "x")
	b.expect(`404 {"message":"404 Not Found"}`, "GET", "/api/v4/jobs/42/artifacts", "", "Job-Token", g.Token)
	b.expect(`400 {"message":"400 Bad request - Missing artifacts file!"}`, "POST", g.path("/artifacts"), "zip", "Job-Token", g.Token)
	b.expect(forbidden, "POST", g.path("/artifacts"), "zip", "Job-Token", stranger.Token)
	if w := b.upload(stranger, make([]byte, 1001)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("an archive above the limit: %d %s", w.Code, w.Body)
	}
	b.expect("200 200", "PUT", g.path(""), g.update(`"state":"success"`))
	if w := b.upload(g, []byte("zip")); w.Code != http.StatusForbidden || w.Header().Get("Job-Status") != "success" {
		t.Errorf("upload after the end: %d %s", w.Code, w.Body)
	}
}

func TestRepositoryCanBeClonedByItsJob(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{URL: "http://gitlab.example"})
	net := memnet.New(memnet.Config{})
	defer net.Close()
	l, err := net.Listen("gitlab.example")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client.InstallProtocol("http", githttp.NewClient(&http.Client{Transport: net.Transport()}))

	g := b.running(`{"script":["true"],"git":true}`)
	clone := func(url string, depth int) (*object.Commit, error) {
		repo, err := git.CloneContext(t.Context(), memory.NewStorage(), nil, &git.CloneOptions{URL: url, Depth: depth})
		if err != nil {
			return nil, err
		}
		head, err := repo.Head()
		if err != nil {
			return nil, err
		}
		return repo.CommitObject(head.Hash())
	}
	for _, depth := range []int{0, 20} {
		commit, err := clone(g.GitInfo.RepoURL, depth)
		if err != nil {
			t.Fatalf("clone with depth %d: %v", depth, err)
		}
		readme, err := commit.File("README.md")
		if err != nil || commit.Hash.String() != g.GitInfo.SHA {
			t.Fatalf("cloned %v, want %s with a README.md: %v", commit.Hash, g.GitInfo.SHA, err)
		}
		if text, err := readme.Contents(); err != nil || !strings.Contains(text, "sim/demo") {
			t.Errorf("README.md is %q, %v", text, err)
		}
	}
	other := b.running(`{"script":["true"],"git":true,"project":"sim/other"}`)
	for _, url := range []string{
		"http://gitlab.example/sim/demo.git",
		strings.Replace(g.GitInfo.RepoURL, g.Token, other.Token, 1),
	} {
		if _, err := clone(url, 0); err == nil {
			t.Errorf("%s was cloned", url)
		}
	}
	b.expect("403 You are not allowed to do that here", "POST", "/sim/demo.git/git-receive-pack", "", "Authorization", basic(g.Token))
	b.expect("200 200", "PUT", g.path(""), g.update(`"state":"success"`))
	if _, err := clone(g.GitInfo.RepoURL, 0); err == nil {
		t.Error("the job has ended, its token clones all the same")
	}
}

// A client that wants a depth speaks once without "done", and must find nothing behind
// the list of shallow commits.
func TestDeepenIsAnsweredBeforeTheNegotiation(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"],"git":true}`)
	packet := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	want := packet("want "+g.GitInfo.SHA+" side-band-64k\n") + packet("deepen 20") + "0000"
	for body, answer := range map[string]string{
		want: "200 0000",
		want + packet("have "+strings.Repeat("1", 40)+"\n") + "0000": "200 00000008NAK",
		want + packet("have "+g.GitInfo.SHA+"\n") + "0000":           "200 00000031ACK " + g.GitInfo.SHA,
		packet("want " + strings.Repeat("2", 40) + "\n"):             "400 want " + strings.Repeat("2", 40) + ": there is no such commit",
		"00zz":     `400 read the length of a packet: strconv.ParseUint: parsing "00zz": invalid syntax`,
		"0010want": "400 read a packet of 16 bytes: unexpected EOF",
	} {
		b.expect(answer, "POST", "/sim/demo.git/git-upload-pack", body, "Authorization", basic(g.Token))
	}
}

func basic(token string) string {
	req, err := http.NewRequest(http.MethodGet, "/", io.NopCloser(strings.NewReader("")))
	if err != nil {
		return ""
	}
	req.SetBasicAuth("gitlab-ci-token", token)
	return req.Header.Get("Authorization")
}
