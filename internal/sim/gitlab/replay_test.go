// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"heptapod-paas-runner/internal/sim/fault"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// recording is real traffic of a real gitlab-runner, recorded against another pretend
// coordinator, whose answers were modelled on the server's source as well.
type recording struct {
	Exchanges []exchange
}

type exchange struct {
	Seq     int
	Request struct {
		Method, Path string
		Headers      map[string]string
		Body         json.RawMessage
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    json.RawMessage
	}
}

// scene is what happens beside the recorded requests.
type scene struct {
	before map[int]func(b bench, id int64) // before the request of that number
	status map[int]int                     // where we answer otherwise than the recording, and why:
	why    string
}

func cancel(b bench, id int64) { b.Cancel(id) }

// scenes are the recordings that need more than a job.
var scenes = map[string]scene{
	"22": {before: map[int]func(bench, int64){1: cancel}},
	"23": {
		before: map[int]func(bench, int64){1: cancel}, status: map[int]int{1: 403, 2: 403, 3: 403, 4: 403},
		why: "GitLab refuses every call for a job that has ended; the recording's coordinator took them",
	},
	"24": {before: map[int]func(bench, int64){2: cancel}},
	"28": {before: map[int]func(bench, int64){2: func(b bench, id int64) { b.Truncate(id, 700) }}},
	"35": {
		before: map[int]func(bench, int64){1: cancel}, status: map[int]int{1: 403},
		why: "as 23; the runner stops at the 403 and reads the same Job-Status",
	},
	"41": {before: map[int]func(bench, int64){1: cancel}},
}

func TestRecordedRunnersAreAnswered(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wire/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d recordings, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var rec recording
			if err := json.Unmarshal(text, &rec); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { replay(t, rec, scenes[filepath.Base(file)[:2]]) })
		})
	}
}

// player replays one recording.
type player struct {
	bench
	scene scene
	names *strings.Replacer // from the recording's tokens and ids to ours
	known []string
	job   granted
}

func replay(t *testing.T, rec recording, sc scene) {
	p := &player{bench: newBench(t, gitlab.Config{URL: "http://127.0.0.1:18080"}), scene: sc}
	p.learn("LABREGTOKEN0000000001", gitlab.RegistrationToken)
	p.learn("labqueuevalue0001", "none yet")
	asks := slices.ContainsFunc(rec.Exchanges, func(e exchange) bool { return e.Response.Status == http.StatusCreated && e.isRequest() })
	graceful := !slices.Contains([]string{"23-", "35-"}, filepath.Base(t.Name())[:3])
	if !asks && !strings.Contains(t.Name(), "01-") {
		p.queueFor(rec)
		p.grant(rec, fmt.Sprintf(`{"token":"sim-runner-token","info":{"features":{"cancel_gracefully":%v}}}`, graceful))
	}
	for _, e := range rec.Exchanges {
		if e.Request.Headers == nil {
			continue // git, of which there is no recording
		}
		if act := sc.before[e.Seq]; act != nil {
			act(p.bench, p.job.ID)
		}
		if asks && e.isRequest() && e.Response.Status == http.StatusCreated {
			p.queueFor(rec)
		}
		p.play(rec, e)
	}
	p.checkTrace(rec)
}

func (e exchange) isRequest() bool { return e.Request.Path == "/api/v4/jobs/request" }

// learn makes the rest of the recording use our name of something.
func (p *player) learn(theirs, ours string) {
	p.known = append([]string{theirs, ours}, p.known...) // the newest first: it wins
	p.names = strings.NewReplacer(p.known...)
}

// queueFor queues the job of a recording, and before it the job 900 that it depends on.
func (p *player) queueFor(rec recording) {
	spec := `{"script":["true"],"variables":{"FILE_VAR":{"value":"x","file":true}},"git":true,"timeout":600,"project":"group/proj",` +
		`"artifacts":{"paths":["out/"]}`
	for _, e := range rec.Exchanges {
		if strings.HasPrefix(e.Request.Path, "/api/v4/jobs/900/artifacts") {
			needed := p.running(`{"script":["true"]}`)
			p.upload(needed, decoded(p.t, e.Response.Body))
			p.expect("200 200", "PUT", needed.path(""), needed.update(`"state":"success"`))
			p.learn("/jobs/900/", fmt.Sprintf("/jobs/%d/", needed.ID))
			spec += fmt.Sprintf(`,"dependencies":[%d]`, needed.ID)
			break
		}
	}
	p.queue(spec + "}")
}

// grant acquires the job and learns its names.
func (p *player) grant(rec recording, request string) {
	p.job = p.acquire(request)
	id := regexp.MustCompile(`^/api/v4/jobs/(\d+)(/trace|$|\?)`)
	for _, e := range rec.Exchanges {
		if m := id.FindStringSubmatch(strings.Split(e.Request.Path, "?")[0]); m != nil {
			p.learn("/jobs/"+m[1], fmt.Sprintf("/jobs/%d", p.job.ID))
			p.learn(fmt.Sprintf("glcbt-64_LABJOBTOKEN%06s", m[1]), p.job.Token)
			return
		}
	}
	p.t.Fatal("the recording names no job")
}

// play makes one recorded request and compares the answer.
func (p *player) play(rec recording, e exchange) {
	p.t.Helper()
	want := e.Response.Status
	if other, ok := p.scene.status[e.Seq]; ok {
		want = other
	} else if theirFault(e) {
		p.strike(e)
	}
	body := p.names.Replace(string(decoded(p.t, e.Request.Body)))
	req := httptest.NewRequestWithContext(p.t.Context(), e.Request.Method, "http://sim"+p.names.Replace(e.Request.Path), strings.NewReader(body))
	for k, v := range e.Request.Headers {
		req.Header.Set(k, p.names.Replace(v))
	}
	if e.Request.Headers["Job-Token"] == "" && !strings.Contains(body, `"token"`) {
		req.Header.Set("Job-Token", p.job.Token) // recording 25: somebody else fails the job
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, req)
	if w.Code != want {
		p.t.Errorf("%d %s %s: %d %s, want %d", e.Seq, e.Request.Method, e.Request.Path, w.Code, w.Body, want)
		return
	}
	if want != e.Response.Status {
		if w.Header().Get("Job-Status") != "canceled" {
			p.t.Errorf("%d: Job-Status is %q, want canceled: %s", e.Seq, w.Header().Get("Job-Status"), p.scene.why)
		}
		return
	}
	p.compare(e, w)
	if e.isRequest() && w.Code == http.StatusCreated {
		p.checkPayload(rec, e, w)
	}
}

// theirFault tells whether the recorded answer was an arranged one.
func theirFault(e exchange) bool {
	s := e.Response.Status
	return s >= 500 || s == http.StatusTooManyRequests || s == http.StatusPreconditionFailed ||
		e.Request.Method == http.MethodPut && s == http.StatusAccepted
}

// strike arranges the same answer here.
func (p *player) strike(e exchange) {
	path, _, _ := strings.Cut(p.names.Replace(e.Request.Path), "?")
	f := fault.Fault{Match: e.Request.Method + " " + path, Status: e.Response.Status, Headers: map[string]string{}, Body: string(decoded(p.t, e.Response.Body))}
	for k, v := range e.Response.Headers {
		if k != "Content-Length" && k != "Date" {
			f.Headers[k] = v
		}
	}
	if _, err := p.Panel().Add(f); err != nil {
		p.t.Fatal(err)
	}
}

// compare compares headers by value where a runner reads the value, and bodies by shape.
func (p *player) compare(e exchange, w *httptest.ResponseRecorder) {
	p.t.Helper()
	for _, h := range []string{"Job-Status", "Range", "X-Gitlab-Trace-Update-Interval", "Gitlab-Ci-Builds-Polling", "X-Request-Id", "Retry-After", "Content-Type"} {
		want, ok := e.Response.Headers[h]
		if ok && w.Header().Get(h) != want {
			p.t.Errorf("%d %s %s: header %s is %q, want %q", e.Seq, e.Request.Method, e.Request.Path, h, w.Header().Get(h), want)
		}
	}
	if value := w.Header().Get("X-Gitlab-Last-Update"); value != "" {
		p.learn("labqueuevalue0001", value)
	}
	var want, got any
	if err := json.Unmarshal(e.Response.Body, &want); err != nil || want == nil {
		return
	}
	if text, ok := want.(string); ok {
		if w.Body.String() != text {
			p.t.Errorf("%d: the body is %q, want %q", e.Seq, w.Body, text)
		}
		return
	}
	if raw, ok := want.(map[string]any); ok && raw["base64"] != nil {
		if !bytes.Equal(w.Body.Bytes(), decoded(p.t, e.Response.Body)) {
			p.t.Errorf("%d: %d bytes came, want what was uploaded", e.Seq, w.Body.Len())
		}
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		p.t.Errorf("%d: the body is %s: %v", e.Seq, w.Body, err)
		return
	}
	for _, difference := range shape("", want, got) {
		p.t.Errorf("%d %s %s: %s", e.Seq, e.Request.Method, e.Request.Path, difference)
	}
	if theirs, ok := want.(map[string]any); ok && theirs["token"] != nil && !e.isRequest() {
		p.learn(theirs["token"].(string), got.(map[string]any)["token"].(string))
	}
}

// shape lists where a value lacks something that another one has, or has it of another type.
func shape(at string, want, got any) (out []string) {
	if want == nil || got == nil {
		return nil
	}
	if a, b := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); a != b {
		return []string{fmt.Sprintf("%s is a %s, want a %s", at, b, a)}
	}
	switch want := want.(type) {
	case map[string]any:
		for k, v := range want {
			there, ok := got.(map[string]any)[k]
			if !ok {
				out = append(out, at+"."+k+" is missing")
			}
			out = append(out, shape(at+"."+k, v, there)...)
		}
	case []any:
		if list := got.([]any); len(want) > 0 && len(list) > 0 {
			out = shape(at+"[]", want[0], list[0])
		}
	}
	return out
}

// checkPayload compares the predefined variables, and takes the job over.
func (p *player) checkPayload(rec recording, e exchange, w *httptest.ResponseRecorder) {
	p.t.Helper()
	var theirs, ours granted
	if err := json.Unmarshal(e.Response.Body, &theirs); err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &ours); err != nil {
		p.t.Fatal(err)
	}
	for _, v := range theirs.Variables {
		if !strings.HasPrefix(v.Key, "CI") && v.Key != "GITLAB_CI" {
			continue
		}
		got := ours.variable(v.Key)
		got.Value = v.Value
		if got != v {
			p.t.Errorf("variable %s is %+v, want %+v", v.Key, got, v)
		}
	}
	p.job = ours
	p.learn(fmt.Sprintf("/jobs/%d", theirs.ID), fmt.Sprintf("/jobs/%d", ours.ID))
	p.learn(theirs.Token, ours.Token)
}

// checkTrace compares the trace with the checksum that the runner sent last.
func (p *player) checkTrace(rec recording) {
	p.t.Helper()
	for _, e := range slices.Backward(rec.Exchanges) {
		var last struct{ Checksum, State string }
		if e.Request.Method != http.MethodPut || json.Unmarshal(e.Request.Body, &last) != nil || last.Checksum == "" || p.scene.status != nil || e.Response.Status != http.StatusOK {
			continue
		}
		trace := p.bench.job(p.job.ID).Trace
		if got := fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE([]byte(trace))); got != last.Checksum {
			p.t.Errorf("the trace has %s, want %s as the runner says:\n%q", got, last.Checksum, trace)
		}
		return
	}
}

// decoded is a recorded body: a text, bytes in base64, or JSON.
func decoded(t *testing.T, body json.RawMessage) []byte {
	t.Helper()
	var text string
	if json.Unmarshal(body, &text) == nil {
		return []byte(text)
	}
	var raw struct{ Base64 string }
	if json.Unmarshal(body, &raw) == nil && raw.Base64 != "" {
		out, err := base64.StdEncoding.DecodeString(raw.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if string(body) == "null" {
		return nil
	}
	return body
}

// upload uploads an archive as the runner does.
func (b bench) upload(g granted, data []byte) *httptest.ResponseRecorder {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "out.zip")
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = part.Write(data)
	_ = form.Close()
	req := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://sim"+g.path("/artifacts?artifact_format=zip&artifact_type=archive"), io.MultiReader(&body))
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Job-Token", g.Token)
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	return w
}
