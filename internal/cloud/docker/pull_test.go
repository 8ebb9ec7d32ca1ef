// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/fleet"
)

const password = "the-canary-of-the-registry"

// pulling makes a provisioner whose image is to be pulled.
func (e box) pulling(t *testing.T, image string, env map[string]string) *docker.Provisioner {
	t.Helper()
	cfg := e.config()
	cfg.Image, cfg.PullPolicy = image, docker.PullMissing
	p, err := docker.New(cfg, docker.Deps{Getenv: func(name string) string { return env[name] }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// create creates an instance and gives what the job's log would say of the pull.
func create(t *testing.T, p *docker.Provisioner, job int64, each func(string)) (string, error) {
	t.Helper()
	var lines []string
	key := fleet.Owner("abcdefgh25").Key(job)
	seen, err := p.Create(t.Context(), cloud.Spec{Key: key, Flavor: "M", Progress: func(line string) {
		lines = append(lines, line)
		each(line)
	}})
	if err == nil {
		t.Cleanup(func() { destroyed(t, p, cloud.Ref{Key: key, Handle: seen.Handle}) })
	}
	return strings.Join(lines, "\n"), err
}

// A pull says that it begins, how far it is, and how long it took; a second instance finds
// the image there.
func TestPullTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	r := e.newRegistry(t, 8<<20)
	held := make(chan struct{})
	r.held = held
	image := r.address + "/open/runner:1"
	p := e.pulling(t, image, nil)
	part := regexp.MustCompile(`^pulling image: \d of 8 MB$`)
	far := false
	said, err := create(t, p, 1, func(line string) {
		if part.MatchString(line) && !far {
			far = true
			close(held)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`(?s)^pulling image ` + regexp.QuoteMeta(image) + `\npulling image: \d of 8 MB\n(.*\n)?image pulled in [0-9.]+s$`); !want.MatchString(said) {
		t.Errorf("the log says:\n%s", said)
	}
	if said, err = create(t, p, 2, func(string) {}); err != nil || said != "" {
		t.Errorf("with the image there: %q, %v", said, err)
	}
}

// What can't be pulled is one sentence for the job's log: for ever, or for now.
func TestPullFails(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	open, private := e.newRegistry(t, 1000), e.newRegistry(t, 1000)
	private.password = password
	locked := private.address + "/closed/runner:1"
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Listener = e.Listen(t)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // the engine breaks off, as it should
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, c := range map[string]struct {
		image string
		env   map[string]string
		class fleet.Class
		says  string
	}{
		"no such image":      {open.address + "/open/runner:2", nil, fleet.Permanent, "can't be pulled: manifest unknown"},
		"no credential":      {locked, nil, fleet.Permanent, "can't be pulled: "},
		"of another":         {locked, auth("registry.example.com", password), fleet.Permanent, "can't be pulled: "},
		"wrong password":     {locked, auth(private.address, "guessed"), fleet.Permanent, "can't be pulled: "},
		"nobody there":       {"127.0.0.1:1/x/runner:1", nil, fleet.Transient, "can't be pulled for now: "},
		"not trusted":        {strings.TrimPrefix(untrusted.URL, "https://") + "/x/runner:1", nil, fleet.Transient, "can't be pulled for now: .*certificate"},
		"no credential file": {locked, map[string]string{"DOCKER_AUTH_CONFIG": "{" + password}, fleet.Permanent, "the registry credentials can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := create(t, e.pulling(t, c.image, c.env), 3, func(string) {})
			if err == nil || fleet.ClassOf(err) != c.class {
				t.Fatalf("class %s, want %s: %v", fleet.ClassOf(err), c.class, err)
			}
			text := fleet.UserTextOf(err)
			if !regexp.MustCompile(c.says).MatchString(text) || strings.Contains(text, "\n") || strings.Contains(text, "Docker Engine refuses") {
				t.Errorf("the user reads %q, want %q", text, c.says)
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("I7: %v", err)
			}
		})
	}
}

// auth is what `docker login` stores.
func auth(server, password string) map[string]string {
	pair := base64.StdEncoding.EncodeToString([]byte("puller:" + password))
	return map[string]string{"DOCKER_AUTH_CONFIG": fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, server, pair)}
}

// The credential of `docker login` opens a private registry, wherever it is kept, and is
// told to nobody.
func TestPullWithACredential(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	for name, keep := range map[string]func(*testing.T, string) map[string]string{
		"environment": func(_ *testing.T, server string) map[string]string { return auth(server, password) },
		"as a URL":    func(_ *testing.T, server string) map[string]string { return auth("http://"+server+"/v1/", password) },
		"folder": func(t *testing.T, server string) map[string]string {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(auth(server, password)["DOCKER_AUTH_CONFIG"]), 0o600); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"DOCKER_CONFIG": dir}
		},
		"home": func(t *testing.T, server string) map[string]string {
			home := t.TempDir()
			text := fmt.Sprintf(`{"credsStore":"secretservice","auths":{"quay.io":{},%q:{"username":"puller","password":%q}}}`, server, password)
			if err := os.Mkdir(filepath.Join(home, ".docker"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, ".docker", "config.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"HOME": home}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := e.newRegistry(t, 1000)
			r.password = password
			p := e.pulling(t, r.address+"/closed/runner:1", keep(t, r.address))
			said, err := create(t, p, int64(10+len(name)), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(said, password) || !strings.Contains(said, "image pulled in") {
				t.Errorf("the log says:\n%s", said)
			}
		})
	}
}
