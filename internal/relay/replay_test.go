// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorded is one file of recorded traffic between a relay and a coordinator.
type recorded struct {
	Exchanges []exchange `json:"exchanges"`
}

type exchange struct {
	At       int64 `json:"t_ms"`
	Request  message
	Response message
}

type message struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

// bytes gives a body as it was on the wire; JSON in its compact form.
func (m message) bytes(t *testing.T) []byte {
	var text string
	if json.Unmarshal(m.Body, &text) == nil {
		return []byte(text)
	}
	var binary struct {
		Base64 *string `json:"base64"`
	}
	if json.Unmarshal(m.Body, &binary) == nil && binary.Base64 != nil {
		data, err := base64.StdEncoding.DecodeString(*binary.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var value any
	if len(m.Body) == 0 || json.Unmarshal(m.Body, &value) != nil || value == nil {
		return nil
	}
	compact, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// header gives the headers that a program sets, without those of the connection.
func (m message) header() http.Header {
	h := http.Header{}
	for k, v := range m.Headers {
		if k != "Content-Length" && k != "Transfer-Encoding" {
			h.Set(k, v)
		}
	}
	return h
}

var jobInPath = regexp.MustCompile(`^/api/v4/jobs/(\d+)`)

// load reads a recording as the sub-runner saw it: without Git and without the calls
// of others, and with its own offsets where the recorded relay had shifted them.
func load(t *testing.T, name string) (calls []exchange, id int64, token string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "wire", name))
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Exchanges {
		if !strings.HasPrefix(e.Request.Headers["User-Agent"], "gitlab-runner") || !strings.HasPrefix(e.Request.Path, "/api/") {
			continue
		}
		if name == "33-relay-manager-wrote-trace-first.json" {
			unshift(t, &e, 103, calls)
		}
		if e.Request.Method != "GET" {
			id, err = strconv.ParseInt(jobInPath.FindStringSubmatch(e.Request.Path)[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
		}
		if v := e.Request.Headers["Job-Token"]; v != "" {
			token = v
		} else if v := e.Request.Headers["Private-Token"]; v != "" {
			token = v
		}
		calls = append(calls, e)
	}
	if len(calls) == 0 {
		t.Fatalf("%s: nothing recorded", name)
	}
	return calls, id, token
}

// unshift takes the recorded relay's base out again.
func unshift(t *testing.T, e *exchange, base int64, before []exchange) {
	if v := e.Request.Headers["Content-Range"]; v != "" {
		start, _ := parseContentRange(v)
		e.Request.Headers["Content-Range"] = contentRange(start-base, len(e.Request.bytes(t)))
	}
	if v := e.Response.Headers["Range"]; v != "" {
		size, _ := parseRange(v)
		e.Response.Headers["Range"] = sizeRange(size - base)
		e.Response.Body = json.RawMessage(strconv.Quote(sizeRange(size - base)))
	}
	if e.Request.Method == "PUT" {
		var whole []byte
		for _, b := range before {
			whole = append(whole, b.Request.bytes(t)...)
		}
		var body map[string]any
		if err := json.Unmarshal(e.Request.Body, &body); err != nil {
			t.Fatal(err)
		}
		body["checksum"] = checksum(string(whole))
		body["output"] = map[string]any{"checksum": checksum(string(whole)), "bytesize": len(whole)}
		e.Request.Body, _ = json.Marshal(body)
	}
}

// wireTest replays a recording through a relay whose trace has a prefix.
type wireTest struct {
	t      *testing.T
	calls  []exchange
	next   int    // the call that the coordinator expects
	whole  []byte // prefix, relay's lines, and what the sub-runner wrote
	prefix string
	base   int64
	own    []string // calls in the relay's own name
}

// coordinator answers the relay's own calls by the rules, and the recorded ones as
// recorded, shifted by the base.
func (x *wireTest) coordinator(w http.ResponseWriter, r *http.Request, body []byte) bool {
	if strings.HasPrefix(r.Header.Get("User-Agent"), "paas-relay ") {
		x.own = append(x.own, r.Method+" "+r.Header.Get("Content-Range"))
		if r.Method == "PATCH" && r.Header.Get("Content-Range") == contentRange(int64(len(x.whole)), len(body)) {
			x.whole = append(x.whole, body...)
			x.base = int64(len(x.whole))
			w.WriteHeader(http.StatusAccepted)
			return true
		}
		w.Header().Set("Range", sizeRange(int64(len(x.whole))))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	if x.next >= len(x.calls) {
		x.t.Errorf("one call too many: %s %s", r.Method, r.RequestURI)
		w.WriteHeader(http.StatusTeapot)
		return true
	}
	call := x.calls[x.next]
	x.next++
	x.expect(call, r, body)
	maps.Copy(w.Header(), call.Response.header())
	text := call.Response.bytes(x.t)
	if size, ok := parseRange(call.Response.Headers["Range"]); ok {
		w.Header().Set("Range", sizeRange(size+x.base))
		if string(text) == sizeRange(size) {
			text = []byte(sizeRange(size + x.base))
		}
	}
	w.WriteHeader(call.Response.Status)
	w.Write(text)
	return true
}

// expect checks what arrives against what was recorded.
func (x *wireTest) expect(call exchange, r *http.Request, body []byte) {
	x.t.Helper()
	if got := r.Method + " " + r.RequestURI; got != call.Request.Method+" "+call.Request.Path {
		x.t.Errorf("call %d: %s, want %s %s", x.next, got, call.Request.Method, call.Request.Path)
	}
	want := call.Request.header()
	text := call.Request.bytes(x.t)
	if start, ok := parseContentRange(want.Get("Content-Range")); ok {
		want.Set("Content-Range", contentRange(start+x.base, len(text)))
		x.whole = append(x.whole[:min(x.base+start, int64(len(x.whole)))], text...)
	}
	r.Header.Del("Connection") // those of the test's own network
	r.Header.Del("Content-Length")
	if diff := cmp.Diff(want, r.Header); diff != "" {
		x.t.Errorf("call %d: headers (-want +got):\n%s", x.next, diff)
	}
	if r.Host != "gitlab.example" {
		x.t.Errorf("call %d: host %q", x.next, r.Host)
	}
	if r.Method == "POST" && r.ContentLength != -1 {
		x.t.Errorf("call %d: an upload of %d bytes, want chunks", x.next, r.ContentLength)
	}
	if r.Method == "PUT" {
		x.expectUpdate(call, body)
		return
	}
	if string(body) != string(text) {
		x.t.Errorf("call %d: body %q, want %q", x.next, body, text)
	}
}

// expectUpdate checks that an update speaks of the whole trace, and is otherwise as
// the sub-runner sent it.
func (x *wireTest) expectUpdate(call exchange, body []byte) {
	x.t.Helper()
	var got, want map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		x.t.Fatal(err)
	}
	if err := json.Unmarshal(call.Request.Body, &want); err != nil {
		x.t.Fatal(err)
	}
	if output, _ := want["output"].(map[string]any); output["checksum"] != nil {
		sum := fmt.Sprintf("crc32:%08x", crc32.ChecksumIEEE(x.whole))
		want["checksum"], output["checksum"] = sum, sum
		output["bytesize"] = output["bytesize"].(float64) + float64(x.base)
		if int(output["bytesize"].(float64)) != len(x.whole) {
			x.t.Fatalf("the recording does not add up: %v, %d bytes", output, len(x.whole))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		x.t.Errorf("call %d: update (-want +got):\n%s", x.next, diff)
	}
}

// subRunner sends what was recorded, when it was, and checks the answers.
func (x *wireTest) subRunner(s *subRunner) error {
	a, err := s.ask(s.token)
	if err != nil || a.status != http.StatusCreated {
		return fmt.Errorf("jobs/request: %d %v", a.status, err)
	}
	began := time.Now()
	for i, call := range x.calls {
		time.Sleep(time.Until(began.Add(time.Duration(call.At) * time.Millisecond)))
		header, body := call.Request.header(), call.Request.bytes(x.t)
		var a answer
		if call.Request.Headers["Transfer-Encoding"] == "chunked" {
			a, err = s.chunked(call.Request.Method, call.Request.Path, header, body)
		} else {
			a, err = s.do(call.Request.Method, call.Request.Path, header, body)
		}
		if err != nil {
			return err
		}
		a.header.Del("Connection")
		a.header.Del("Date")
		a.header.Del("Content-Length")
		want := call.Response.header()
		if want.Get("Content-Type") == "" {
			a.header.Del("Content-Type") // the test's server guesses one
		}
		if a.status != call.Response.Status {
			x.t.Errorf("answer %d: %d, want %d", i+1, a.status, call.Response.Status)
		}
		if diff := cmp.Diff(want, a.header); diff != "" {
			x.t.Errorf("answer %d: headers (-want +got):\n%s", i+1, diff)
		}
		if diff := cmp.Diff(string(call.Response.bytes(x.t)), string(a.body)); diff != "" {
			x.t.Errorf("answer %d: body (-want +got):\n%s", i+1, diff)
		}
	}
	return nil
}

func TestRecordedTraffic(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/[234]*.json")
	if err != nil || len(files) != 19 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	wantState := map[string]string{"20": "success", "21": "failed", "22": "canceled", "23": "canceled", "24": "canceled", "25": "failed",
		"26": "failed", "27": "failed", "35": "canceled", "41": "canceled"}
	for _, file := range files {
		for _, size := range []int{0, 103} {
			name := filepath.Base(file)
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := &wireTest{t: t, prefix: strings.Repeat("p", size), whole: []byte(strings.Repeat("p", size))}
					calls, id, token := load(t, name)
					x.calls = calls
					w := newWorld(t, x.prefix)
					w.settings["job_id"] = id
					w.payload = fmt.Sprintf(`{"id":%d,"token":%q,"dependencies":[{"id":900,"name":"dep","token":%q}]}`, id, token, token)
					w.coordinator.script = x.coordinator
					w.sub = x.subRunner
					out, err := w.run(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if x.next != len(x.calls) {
						t.Errorf("%d of %d calls arrived", x.next, len(x.calls))
					}
					want, ok := wantState[name[:2]]
					if !ok {
						want = "success"
					}
					if out.State != want || !out.HandedOut {
						t.Errorf("outcome %+v, want %s", out, want)
					}
					if len(x.own) != 2 {
						t.Errorf("the relay's own calls: %q, want a probe and its lines", x.own)
					}
				})
			})
		}
	}
}
