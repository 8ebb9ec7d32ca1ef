// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// attack is one request of the job's own code to the relay, and what it gets.
type attack struct {
	what    string
	request string // {JOB}, {TOKEN}, {DEP}, {OTHER}, {STANDIN}, {RELAY}, {GITLAB}, {SIZE}
	want    string
}

// attacks is the table of docs/security.md, row by row.
var attacks = []attack{
	{"ask for the job", post("jobs/request", "", `{"token":"{STANDIN}"}`), "403"},
	{"ask for the job without a token", post("jobs/request", "", `{}`), "403"},
	{"ask for the job with the job's token", post("jobs/request", "Job-Token: {TOKEN}", `{"token":"{TOKEN}"}`), "403"},
	{"end the job as a success", put(`{"token":"{TOKEN}","state":"success"}`), "403"},
	{"end the job as a failure", put(`{"token":"{TOKEN}","state":"failed"}`), "403"},
	{"say that the job runs", put(`{"token":"{TOKEN}","state":"running"}`), "403"},
	{"write to the log", patch("{SIZE}-{SIZE}", "x"), "403"},
	{"write over the log", patch("0-0", "x"), "403"},
	{"get a dependency's artifacts", get("jobs/{DEP}/artifacts", "{TOKEN}"), "200"},
	{"get them with a wrong token", get("jobs/{DEP}/artifacts", "guessed"), "403"},
	{"get them without a token", get("jobs/{DEP}/artifacts", ""), "403"},
	{"get another job's artifacts", get("jobs/{OTHER}/artifacts", "{TOKEN}"), "403"},
	{"get its own artifacts", get("jobs/{JOB}/artifacts", "{TOKEN}"), "403"},
	{"send artifacts with a wrong token", post("jobs/{JOB}/artifacts", "Job-Token: guessed", "x"), "403"},
	{"send artifacts of another job", post("jobs/{OTHER}/artifacts", "Job-Token: {TOKEN}", "x"), "403"},
	{"get the user", get("user", "{TOKEN}"), "403"},
	{"get the job", get("job", "{TOKEN}"), "403"},
	{"get a project", get("projects/1", "{TOKEN}"), "403"},
	{"verify a runner", post("runners/verify", "", `{"token":"{STANDIN}"}`), "403"},
	{"use it as a proxy", "GET {GITLAB}/api/v4/user HTTP/1.1\r\nHost: gitlab\r\nJob-Token: {TOKEN}\r\n\r\n", "403"},
	{"use it as a proxy to an allowed path", "GET {GITLAB}/api/v4/jobs/{DEP}/artifacts HTTP/1.1\r\nHost: gitlab\r\nJob-Token: {TOKEN}\r\n\r\n", "403"},
	{"make a tunnel of it", "CONNECT {GITLABHOST} HTTP/1.1\r\nHost: {GITLABHOST}\r\n\r\n", "403"},
	{"climb out with ..", get("jobs/{DEP}/../../user", "{TOKEN}"), "403"},
	{"climb to the job with ..", get("jobs/{DEP}/artifacts/../../{JOB}/artifacts", "{TOKEN}"), "403"},
	{"climb with an encoded ..", get("jobs/{DEP}/%2e%2e/%2e%2e/user", "{TOKEN}"), "403"},
	{"spell a path otherwise", get("jobs//{DEP}/artifacts", "{TOKEN}"), "403"},
	{"hide a path behind a fragment", get("jobs/{DEP}/artifacts#/../../user", "{TOKEN}"), "403"},
	{"end the job, called X-Forwarded-For the relay", spoof("X-Forwarded-For: {RELAY}\r\nX-Real-IP: {RELAY}\r\nForwarded: for={RELAY}\r\nVia: 1.1 {RELAY}"), "403"},
	{"end the job, called X-Forwarded-For this computer", spoof("X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1"), "403"},
	{"end the job, for another host", strings.Replace(put(`{"token":"{TOKEN}","state":"success"}`), "Host: relay", "Host: 127.0.0.1", 1), "403"},
	{"end the job by another method's name", strings.Replace(put(`{"token":"{TOKEN}","state":"success"}`), "PUT", "POST", 1) /* as some frameworks take it */, "403"},
	{"smuggle a second request", "POST /api/v4/jobs/request HTTP/1.1\r\nHost: relay\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPUT /api/v4/jobs/{JOB} HTTP/1.1\r\nHost: relay\r\nContent-Length: 2\r\n\r\n{}", "403"},
	{"send a huge header", "GET /api/v4/user HTTP/1.1\r\nHost: relay\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", "431"},
	{"speak HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "403"},
	{"send no HTTP at all", "\x16\x03\x01 hello\r\n\r\n", "400"},
}

// The page tells of each attack what it gets.
func TestSecurityPageTellsOfEachAttack(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, a := range attacks {
		want = append(want, a.what+": "+a.want)
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| (\d{3}) \|`).FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1]+": "+row[2])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/security.md (-want +got): %s", diff)
	}
}

func post(path, header, body string) string { return message("POST", path, header, body) }

func put(body string) string { return message("PUT", "jobs/{JOB}", "Job-Token: {TOKEN}", body) }

func spoof(header string) string {
	return message("PUT", "jobs/{JOB}", "Job-Token: {TOKEN}\r\n"+header, `{"token":"{TOKEN}","state":"success"}`)
}

func patch(span, body string) string {
	return message("PATCH", "jobs/{JOB}/trace", "Job-Token: {TOKEN}\r\nContent-Range: "+span, body)
}

func get(path, token string) string {
	header := ""
	if token != "" {
		header = "Job-Token: " + token
	}
	return message("GET", path, header, "")
}

func message(method, path, header, body string) string {
	if header != "" {
		header += "\r\n"
	}
	return fmt.Sprintf("%s /api/v4/%s HTTP/1.1\r\nHost: relay\r\n%sContent-Length: {LENGTH}\r\n\r\n%s", method, path, header, body)
}

// siblingAsks: the job's own code, with the job's token in hand, asks the relay for what
// it should not have, from the job's own container while its script runs.
func siblingAsks(t *testing.T, w *place) {
	dep := w.boot(t, gitlab.Spec{
		Script: []string{"echo of the dependency > f"}, Artifacts: &gitlab.Artifacts{Paths: []string{"f"}},
		Variables: map[string]gitlab.Variable{"GIT_STRATEGY": {Value: "none"}},
	}, wish{})
	dep.succeed(t)
	other, _ := w.acquire(t, trivial())
	at := w.newStop(t)
	spec := trivial(at.line())
	spec.Dependencies = []int64{dep.job}
	i := w.boot(t, spec, wish{})
	at.wait(t, i)
	build, address := i.container(t, "build"), i.address(t)
	fill := i.values(t, address, dep.job, other)
	asked := len(w.gitlab.Panel().Requests())
	for _, a := range attacks {
		text, _ := i.Exec(t, build, "sibling", "ask", address, fill(a.request))
		if got := strings.TrimSpace(text); got != a.want {
			t.Errorf("%s: %s, want %s", a.what, got, a.want)
		}
		if i.now().FinishedAt != nil {
			t.Fatalf("%s: the job has ended:\n%s", a.what, i.now().Trace)
		}
	}
	i.heard(t, asked, dep.job, other)
	at.release()
	i.succeed(t)
}

// heard: of all the requests one has come through, the allowed one.
func (i *instance) heard(t *testing.T, since int, dep, other int64) {
	t.Helper()
	jobs, fetched := "/api/v4/jobs/", 0
	for _, r := range i.gitlab.Panel().Requests()[since:] {
		switch {
		case r.Path == fmt.Sprint(jobs, dep, "/artifacts"):
			fetched++
		case strings.HasPrefix(r.Path, fmt.Sprint(jobs, i.job)) && strings.HasPrefix(r.UserAgent, "gitlab-runner"):
			// the sub-runner's own
		case strings.HasPrefix(r.Path, fmt.Sprint(jobs, i.job)), strings.HasPrefix(r.Path, fmt.Sprint(jobs, other)), !strings.HasPrefix(r.Path, jobs):
			t.Errorf("a sibling's request came through: %s %s", r.Method, r.Path)
		}
	}
	if fetched != 1 {
		t.Errorf("the dependency's artifacts were fetched %d times, want 1", fetched)
	}
}

// values fills in a request what the job's code knows, and more than it can know.
func (i *instance) values(t *testing.T, address string, dep, other int64) func(string) string {
	t.Helper()
	text, _ := i.Exec(t, i.id, "sed", "-n", `s/^ *token = "\(.*\)"/\1/p`, "/etc/heptapod-runner/runner-relay.toml")
	standIn := strings.TrimSpace(text)
	if standIn == "" {
		t.Fatal("no stand-in token")
	}
	host, _, _ := net.SplitHostPort(address)
	fill := strings.NewReplacer(
		"{JOB}", fmt.Sprint(i.job), "{TOKEN}", i.token, "{DEP}", fmt.Sprint(dep), "{OTHER}", fmt.Sprint(other), "{STANDIN}", standIn,
		"{RELAY}", host, "{GITLABHOST}", strings.TrimPrefix(i.url, "http://"), "{GITLAB}", i.url, "{SIZE}", fmt.Sprint(len(i.now().Trace)),
	)
	return func(text string) string {
		text = fill.Replace(text)
		_, body, _ := strings.Cut(text, "\r\n\r\n")
		return strings.Replace(text, "{LENGTH}", fmt.Sprint(len(body)), 1)
	}
}

// siblingHolds: the job's own code opens as many connections as it can and feeds each a
// header that never ends. It gets few, for a short time, and the job goes on.
func siblingHolds(t *testing.T, w *place) {
	begin, at := w.newStop(t), w.newStop(t)
	i := w.boot(t, trivial(begin.line(), "n=0; while [ ! -e /tmp/enough ]; do n=$((n+1)); echo line $n; sleep 1; done", at.line()), wish{})
	begin.wait(t, i)
	build, address := i.container(t, "build"), i.address(t)
	begin.release()
	begun := time.Now()
	text, _ := i.Exec(t, build, "sibling", "hold", address, "300", "12")
	found := regexp.MustCompile(`^held (\d+)\s+still (\d+)\s*$`).FindStringSubmatch(text)
	if found == nil || found[1] != "64" || found[2] != "0" {
		t.Errorf("after %s: %q, want 64 held and none of them still", time.Since(begun), text)
	}
	i.Exec(t, build, "touch", "/tmp/enough")
	at.wait(t, i)
	lines := regexp.MustCompile(`line (\d+)`).FindAllString(i.now().Trace, -1)
	if len(lines) < 5 {
		t.Errorf("meanwhile the coordinator heard only:\n%s", i.now().Trace)
	}
	at.release()
	i.succeed(t)
}
