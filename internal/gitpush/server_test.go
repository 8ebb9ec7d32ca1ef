// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"github.com/go-git/go-git/v5/storage/memory"

	"heptapod-paas-runner/internal/secret"
)

const (
	testUser     = "Jenkins"
	testPassword = "SECRET-password"
)

// gitServer is the real git program behind HTTP on loopback.
type gitServer struct {
	*httptest.Server
	repository string
}

func newGitServer(t testing.TB) *gitServer {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		if testing.Short() {
			t.Skip("the git program is the judge here")
		}
		t.Fatal("the git program is the judge here: ", err)
	}
	root := t.TempDir()
	g := &gitServer{repository: filepath.Join(root, "app.git")}
	git(t, "init", "--quiet", "--bare", "--initial-branch=master", g.repository)
	git(t, "-C", g.repository, "config", "http.receivepack", "true")
	git(t, "-C", g.repository, "config", "receive.fsckObjects", "true")
	g.Server = httptest.NewServer(withPassword(&cgi.Handler{
		Path: program, Args: []string{"http-backend"}, Dir: root, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gitServer) target() Target { return targetOf(g.Server) }

func targetOf(s *httptest.Server) Target {
	return Target{URL: s.URL + "/app.git", User: testUser, Password: secret.New(testPassword), HTTP: s.Client()}
}

// git runs the git program and gives what it says.
func git(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// withPassword answers as unkindly as a server can: it sends the password back.
func withPassword(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != testUser || password != testPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "you sent "+password, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// goGitServer is go-git's own server behind HTTP: a second judge that needs no
// process, so it can live in a bubble.
type goGitServer struct{ repository *memory.Storage }

func newGoGitServer() *goGitServer { return &goGitServer{repository: memory.NewStorage()} }

// Load implements server.Loader.
func (g *goGitServer) Load(*transport.Endpoint) (storer.Storer, error) { return g.repository, nil }

func (g *goGitServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	var err error
	service, kind := r.URL.Query().Get("service"), "advertisement"
	if r.Method == http.MethodPost {
		service, kind = strings.TrimPrefix(r.URL.Path, "/app.git/"), "result"
		err = g.exchange(&out, service, r)
	} else {
		err = g.advertise(&out, service, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-"+kind)
	_, _ = w.Write(out.Bytes())
}

func (g *goGitServer) advertise(out io.Writer, service string, r *http.Request) error {
	session, err := server.NewServer(g).NewReceivePackSession(&transport.Endpoint{}, nil)
	if service == transport.UploadPackServiceName {
		session, err := server.NewServer(g).NewUploadPackSession(&transport.Endpoint{}, nil)
		if err != nil {
			return err
		}
		refs, err := session.AdvertisedReferencesContext(r.Context())
		return sendReferences(out, service, refs, err)
	}
	if err != nil {
		return err
	}
	refs, err := session.AdvertisedReferencesContext(r.Context())
	return sendReferences(out, service, refs, err)
}

func sendReferences(out io.Writer, service string, refs *packp.AdvRefs, err error) error {
	if err != nil {
		return err
	}
	refs.Prefix = [][]byte{[]byte("# service=" + service), pktline.Flush}
	return refs.Encode(out)
}

func (g *goGitServer) exchange(out io.Writer, service string, r *http.Request) error {
	if service == transport.UploadPackServiceName {
		return g.upload(out, r)
	}
	request := packp.NewReferenceUpdateRequest()
	if err := request.Decode(r.Body); err != nil {
		return err
	}
	session, err := server.NewServer(g).NewReceivePackSession(&transport.Endpoint{}, nil)
	if err != nil {
		return err
	}
	report, err := session.ReceivePack(r.Context(), request)
	if report == nil {
		return err
	}
	return report.Encode(out) // which tells the error too
}

func (g *goGitServer) upload(out io.Writer, r *http.Request) error {
	request := packp.NewUploadPackRequest()
	if err := request.Decode(r.Body); err != nil {
		return err
	}
	session, err := server.NewServer(g).NewUploadPackSession(&transport.Endpoint{}, nil)
	if err != nil {
		return err
	}
	response, err := session.UploadPack(r.Context(), request)
	if err != nil {
		return err
	}
	defer response.Close()
	return response.Encode(out)
}
