// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// endless is n bytes that are nowhere in memory.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

// count reads everything into one small buffer.
func count(r io.Reader) (total int, err error) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		total += n
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// standing is a relay's desk over real sockets, without the rest of the relay.
func standing(t *testing.T, answers http.Handler) (relay string) {
	t.Helper()
	upstream := httptest.NewServer(answers)
	t.Cleanup(upstream.Close)
	j := &job{id: testJob, token: testToken, dependencies: map[int64]string{900: depToken}}
	transport, err := newTransport(&settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	log := slog.New(slog.DiscardHandler)
	up := &coordinator{base: upstream.URL, job: testJob, token: testToken, agent: "paas-relay test", transport: transport, health: &health{}}
	trace, err := openTrace(t.TempDir(), up, &memory{dir: t.TempDir(), log: log, over: make(chan struct{})}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trace.close)
	c := &clerk{settings: &settings{}, job: j, trace: trace, log: log}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t.Context(), &gate{job: j, own: sharesAddress, desk: c}, log)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return "http://" + l.Addr().String()
}

const artifact = 50 << 20

// An artifact goes through in both directions in a small buffer.
func TestArtifactsAreStreamed(t *testing.T) {
	started := make(chan struct{}, 1)
	relay := standing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Header().Set("Content-Type", "application/zip")
			io.CopyBuffer(w, &endless{artifact}, make([]byte, 32<<10))
			return
		}
		first := make([]byte, 1)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			t.Error(err)
		}
		started <- struct{}{} // arrived before the rest was sent
		n, err := count(r.Body)
		if r.ContentLength != -1 || len(r.TransferEncoding) != 1 || n != artifact || err != nil {
			t.Errorf("%d bytes, length %d, %v, %v", n+1, r.ContentLength, r.TransferEncoding, err)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	body, feed := io.Pipe()
	go func() {
		feed.Write([]byte("x"))
		<-started
		io.CopyBuffer(feed, &endless{artifact}, make([]byte, 32<<10))
		feed.Close()
	}()
	request, err := http.NewRequest("POST", fmt.Sprintf("%s/api/v4/jobs/%d/artifacts?artifact_format=zip", relay, testJob), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Job-Token", testToken)
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("upload: %d", answer.StatusCode)
	}

	request, err = http.NewRequest("GET", relay+"/api/v4/jobs/900/artifacts?direct_download=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Job-Token", depToken)
	answer, err = http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := count(answer.Body)
	if n != artifact || err != nil || answer.Header.Get("Content-Type") != "application/zip" {
		t.Errorf("download: %d bytes, %v, %v", n, err, answer.Header)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d MB went through %d MB of memory", 2*artifact>>20, used>>20)
	}
}

// A download that breaks off at the coordinator breaks off at the sub-runner: what
// it got must not look like the whole.
func TestABrokenDownloadIsNotAWholeOne(t *testing.T) {
	relay := standing(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("x", 100<<10))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	request, err := http.NewRequest("GET", relay+"/api/v4/jobs/900/artifacts", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Job-Token", depToken)
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := count(answer.Body); err == nil {
		t.Errorf("%d bytes and no error", n)
	}
}

// An upload waits at the door while the coordinator is known to be away, and a
// download is asked for again.
func TestArtifactsWaitForTheCoordinator(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var uploaded []byte
		w.payload = fmt.Sprintf(`{"id":%d,"token":%q,"dependencies":[{"id":900,"token":%q}]}`, testJob, testToken, depToken)
		artifacts := func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
			switch {
			case r.Method == "POST":
				uploaded = body
				rw.WriteHeader(http.StatusCreated)
			case strings.HasSuffix(r.URL.Path, "/900/artifacts"):
				io.WriteString(rw, "of the dependency")
			default:
				return false
			}
			return true
		}
		w.coordinator.script = artifacts
		w.sub = func(s *subRunner) error {
			m, err := s.begin()
			if err != nil {
				return err
			}
			w.net.setDown(gitlabHost, true)
			go func() { time.Sleep(5 * time.Minute); w.net.setDown(gitlabHost, false) }()
			a, err := s.do("GET", "/api/v4/jobs/900/artifacts", http.Header{"Job-Token": {depToken}}, nil)
			if err != nil || a.status != http.StatusOK || string(a.body) != "of the dependency" {
				t.Errorf("download: %+v %v", a, err)
			}
			w.net.setDown(gitlabHost, true)
			go func() { time.Sleep(40 * time.Minute); w.net.setDown(gitlabHost, false) }()
			path := fmt.Sprintf("/api/v4/jobs/%d/artifacts", testJob)
			header := http.Header{"Job-Token": {testToken}}
			data := bytes.Repeat([]byte("artifact"), 1000)
			if a, err = s.chunked("POST", path, header, data); err != nil || a.status != http.StatusBadGateway {
				t.Errorf("the first try finds out: %+v %v", a, err)
			}
			if a, err = s.chunked("POST", path, header, data); err != nil || a.status != http.StatusCreated {
				t.Errorf("the second waits: %+v %v", a, err)
			}
			if !bytes.Equal(uploaded, data) {
				t.Errorf("%d bytes arrived, want %d", len(uploaded), len(data))
			}
			m.trace = "x\n"
			return m.finish("success")
		}
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
	})
}
