// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	relayIP   = "172.18.0.2"
	siblingIP = "172.18.0.3"
	depToken  = "glcbt-64_token-of-the-dependency"
)

// deskLog notes what the gate lets in.
type deskLog struct{ in string }

func (d *deskLog) request(w http.ResponseWriter, _ *http.Request) { d.note(w, "request") }
func (d *deskLog) patch(w http.ResponseWriter, _ *http.Request)   { d.note(w, "patch") }
func (d *deskLog) put(w http.ResponseWriter, _ *http.Request)     { d.note(w, "put") }
func (d *deskLog) upload(w http.ResponseWriter, _ *http.Request)  { d.note(w, "upload") }
func (d *deskLog) download(w http.ResponseWriter, _ *http.Request, id int64) {
	d.note(w, fmt.Sprint("download ", id))
}

func (d *deskLog) note(w http.ResponseWriter, what string) {
	d.in = what
	w.WriteHeader(http.StatusOK)
}

// raw sends a request exactly as written and gives the status.
func raw(t *testing.T, n *memNet, from, text string) int {
	t.Helper()
	conn, err := n.dial(t.Context(), from, net.JoinHostPort(relayIP, "40001"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, text)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func TestWhoMayAskWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		desk := &deskLog{}
		g := &gate{own: sharesAddress, desk: desk, job: &job{
			id: testJob, token: testToken, dependencies: map[int64]string{900: depToken},
		}}
		l, err := n.listen(net.JoinHostPort(relayIP, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := newServer(t.Context(), g, newWorld(t, "").logger())
		done := make(chan struct{})
		go func() { defer close(done); server.Serve(l) }()
		defer func() { server.Close(); <-done }()

		this := fmt.Sprintf("/api/v4/jobs/%d", testJob)
		job, dep := "Job-Token: "+testToken, "Job-Token: "+depToken
		for _, c := range []struct {
			request, header string
			own, sibling    string // what is let in; "" = 403
		}{
			// The table of who may ask what.
			{"POST /api/v4/jobs/request", "", "request", ""},
			{"GET /api/v4/runners/router/discovery", "", "501", ""},
			{"PATCH " + this + "/trace", job, "patch", ""},
			{"PATCH " + this + "/trace?debug_trace=true", job, "patch", ""},
			{"PUT " + this, "", "put", ""}, // the token is in the body
			{"POST " + this + "/artifacts?artifact_type=archive", job, "upload", "upload"},
			{"GET /api/v4/jobs/900/artifacts?direct_download=true", dep, "download 900", "download 900"},
			// Wrong tokens.
			{"PATCH " + this + "/trace", "", "", ""},
			{"PATCH " + this + "/trace", dep, "", ""},
			{"PATCH " + this + "/trace", "Private-Token: " + testToken, "", ""},
			{"POST " + this + "/artifacts", "", "", ""},
			{"POST " + this + "/artifacts", dep, "", ""},
			{"GET /api/v4/jobs/900/artifacts", job, "", ""},
			{"GET /api/v4/jobs/900/artifacts", "Job-Token: ", "", ""},
			// Other jobs, other calls.
			{"PATCH /api/v4/jobs/100002/trace", job, "", ""},
			{"PUT /api/v4/jobs/100002", job, "", ""},
			{"POST /api/v4/jobs/100002/artifacts", job, "", ""},
			{"GET /api/v4/jobs/901/artifacts", dep, "", ""},
			{"GET " + this + "/artifacts", job, "", ""},
			{"POST " + this + "/artifacts/authorize", job, "", ""},
			{"GET /api/v4/job", job, "", ""},
			{"GET /api/v4/user", job, "", ""},
			{"POST /api/v4/runners/verify", job, "", ""},
			{"DELETE /api/v4/runners", job, "", ""},
			{"GET /", job, "", ""},
			{"GET /api/v4/jobs/request", job, "", ""},
			{"HEAD /api/v4/jobs/900/artifacts", dep, "", ""},
			// Other spellings of the right paths.
			{"POST " + this + "/../" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"POST /api/v4/./jobs/" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"POST /api/v4//jobs/" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"POST /api/v4/jobs/0" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"POST /api/v4/jobs/+" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"POST " + this + "/artifacts/", job, "", ""},
			{"POST " + this + "%2fartifacts", job, "", ""},
			{"POST /api/v4/%6aobs/" + fmt.Sprint(testJob) + "/artifacts", job, "", ""},
			{"GET /api/v4/jobs/0900/artifacts", dep, "", ""},
			{"GET /api/v4/jobs/900/artifacts#x", dep, "", ""},
			{"GET /api/v4/jobs/+900/artifacts", dep, "", ""},
			// A proxy it is not.
			{"GET http://gitlab.example/api/v4/jobs/900/artifacts", dep, "", ""},
			{"POST http://127.0.0.1/api/v4/jobs/request", "", "", ""},
			{"CONNECT gitlab.example:443", "", "", ""},
			{"OPTIONS *", "", "", ""},
		} {
			for from, want := range map[string]string{relayIP: c.own, siblingIP: c.sibling} {
				desk.in = ""
				text := c.request + " HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n"
				if c.header != "" {
					text += c.header + "\r\n"
				}
				if strings.HasPrefix(c.request, "P") {
					text += "Content-Length: 0\r\n"
				}
				status := raw(t, n, from, text+"\r\n")
				switch {
				case want == "" && (status != http.StatusForbidden || desk.in != "") && !refusedByServer(c.request, status):
					t.Errorf("%s from %s: %d %q, want 403", c.request, from, status, desk.in)
				case want == "501" && status != http.StatusNotImplemented:
					t.Errorf("%s from %s: %d, want 501", c.request, from, status)
				case want != "" && want != "501" && desk.in != want:
					t.Errorf("%s from %s: %d %q, want %s", c.request, from, status, desk.in, want)
				}
			}
		}
	})
}

// refusedByServer: what Go's server answers itself never reaches the gate.
func refusedByServer(request string, status int) bool {
	return request == "OPTIONS *" && status == http.StatusOK || status == http.StatusBadRequest
}

// The job's own code has the job's token, and sits on the same network.
func TestTheJobsOwnCodeChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.sub = func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			hostile := *s
			hostile.client = &http.Client{Transport: w.net.transport(siblingIP)}
			for name, call := range map[string]func() (answer, error){
				"result": func() (answer, error) { return hostile.put("success", "") },
				"log":    func() (answer, error) { return hostile.patch(0, "forged\n") },
				"job":    func() (answer, error) { return hostile.ask(standIn) },
			} {
				if a, err := call(); err != nil || a.status != http.StatusForbidden {
					t.Errorf("%s: %d %v, want 403", name, a.status, err)
				}
			}
			m.trace = "real\n"
			return m.finish("failed")
		}
		if out, err := w.run(t.Context()); err != nil || out.State != "failed" || out.By != BySubRunner {
			t.Error(out, err)
		}
		w.whole(t, prefix, "real\n")
	})
}

// Only what is known goes on to the coordinator, and only with the right token.
func TestWhatIsPassedOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var seen *http.Request
		w.coordinator.script = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.Method != "POST" {
				return false
			}
			seen = r
			rw.Header().Set("Location", "http://elsewhere.example/upload")
			rw.Header().Set("Set-Cookie", "session=1")
			rw.Header().Set("RateLimit-Remaining", "3")
			rw.Header().Set("Retry-After", "9")
			rw.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		w.sub = func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			a, err := s.do("POST", fmt.Sprintf("/api/v4/jobs/%d/artifacts?artifact_type=junit&admin=1&expire_in=1+week&token=x", testJob), http.Header{
				"Job-Token": {testToken}, "Cookie": {"a=b"}, "Authorization": {"Bearer x"}, "X-Forwarded-For": {"1.2.3.4"},
				"Private-Token": {"an-admin-token"}, "Content-Type": {"multipart/form-data; boundary=x"}, "X-Request-Id": {"abc"},
				"X-Gitlab-Static-Object-Token": {"x"},
			}, []byte("data"))
			if err != nil || a.status != http.StatusTemporaryRedirect || a.header.Get("Location") != "http://elsewhere.example/upload" ||
				a.header.Get("Retry-After") != "9" || a.header.Get("RateLimit-Remaining") != "3" || a.header.Get("Set-Cookie") != "" {
				t.Errorf("answer %+v %v", a, err)
			}
			m.trace = "x\n"
			return m.finish("success")
		}
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		if got := seen.RequestURI; got != fmt.Sprintf("/api/v4/jobs/%d/artifacts?artifact_type=junit&expire_in=1+week", testJob) {
			t.Errorf("path %s", got)
		}
		for _, name := range []string{"Cookie", "Authorization", "X-Forwarded-For", "Private-Token", "X-Gitlab-Static-Object-Token"} {
			if v := seen.Header.Get(name); v != "" {
				t.Errorf("%s: %s went on", name, v)
			}
		}
		for name, want := range map[string]string{"Job-Token": testToken, "X-Request-Id": "abc", "User-Agent": subAgent} {
			if v := seen.Header.Get(name); v != want {
				t.Errorf("%s: %q, want %q", name, v, want)
			}
		}
	})
}

// Strangers can't keep the sub-runner out, however many connections they open and
// however slowly they speak.
func TestStrangersHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		inner, err := n.listen(net.JoinHostPort(relayIP, "0"))
		if err != nil {
			t.Fatal(err)
		}
		desk := &deskLog{}
		g := &gate{own: sharesAddress, desk: desk, job: &job{id: testJob, token: testToken}}
		server := newServer(t.Context(), g, newWorld(t, "").logger())
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.Serve(&limited{Listener: inner, own: sharesAddress, most: strangers})
		}()
		defer func() { server.Close(); <-done }()
		var held []net.Conn
		for range strangers + 10 {
			conn, err := n.dial(t.Context(), siblingIP, inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		synctest.Wait()
		if got := raw(t, n, relayIP, "POST /api/v4/jobs/request HTTP/1.1\r\nHost: relay\r\nContent-Length: 0\r\n\r\n"); got != http.StatusOK || desk.in != "request" {
			t.Errorf("the sub-runner got %d %q", got, desk.in)
		}
		closed := 0
		for _, conn := range held[strangers:] {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
				closed++
			}
		}
		if closed != 10 {
			t.Errorf("%d of 10 connections too many were closed", closed)
		}
		time.Sleep(11 * time.Second) // the time for a header is over
		if _, err := held[0].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a silent stranger: %v, want the connection closed", err)
		}
		header := "GET / HTTP/1.1\r\nHost: relay\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n"
		if got := raw(t, n, siblingIP, header); got != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 40 KiB: %d, want 431", got)
		}
	})
}

// The relay listens where it is told to, and never on the platform's port.
func TestListenAvoidsThePublicPort(t *testing.T) {
	n := newMemNet()
	n.next = 8079
	l, err := listen(n.listen, relayIP)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().String(); got != relayIP+":8081" {
		t.Errorf("listens on %s, want the next port", got)
	}
	if _, err := n.dial(context.Background(), siblingIP, relayIP+":8080"); err == nil {
		t.Error("port 8080 is still open")
	}
}
