// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// otherURL is the cloud under another name.
const otherURL = "http://other.example"

// scene is a world whose configuration is a file, as an operator would write it.
type scene struct {
	*world
	err error // the file is refused
	mu  sync.Mutex
	sent
}

// sent is what the cloud was sent.
type sent struct {
	auth   []string // Authorization of calls to the API
	pushed []string // user:password of pushes
	bodies []string // of creations
	host   string   // that the API was called at
}

// keyRow shows what a key does: one thing that is seen with it and not without.
type keyRow struct {
	with    func(text string) string
	prepare func(s *scene)        // before the file is read
	play    func(s *scene)        // when the service has begun; else it waits until all is quiet
	see     func(s *scene) string // what the two plays differ in
	was     string                // seen without the key, and
	is      string                // with it
}

// Every key of the table of keys has a row here, and does in the running service what its
// row says.
func TestEveryKeyHasAnEffect(t *testing.T) {
	rows := keyRows()
	processes := processRows()
	for _, k := range config.Keys() {
		_, played := rows[k.Section+"/"+k.Name]
		_, run := processes[k.Section+"/"+k.Name]
		if !played && !run {
			t.Errorf("[%s] %s: no row shows what it does", k.Section, k.Name)
		}
	}
	for name := range rows {
		if !slices.ContainsFunc(config.Keys(), func(k config.Key) bool { return k.Section+"/"+k.Name == name }) {
			t.Errorf("%s: there is no such key", name)
		}
	}
	for name, row := range rows {
		t.Run(strings.TrimPrefix(name, "/"), func(t *testing.T) {
			t.Parallel()
			if seen := row.run(t, false); seen != row.was {
				t.Errorf("without it: %q, want %q", seen, row.was)
			}
			if seen := row.run(t, true); seen != row.is {
				t.Errorf("with it: %q, want %q", seen, row.is)
			}
			if row.was == row.is {
				t.Error("the row shows nothing")
			}
		})
	}
}

func (row keyRow) run(t *testing.T, changed bool) (seen string) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{world: newWorld(t, 21)}
		defer s.close()
		s.watch.heard = s.hear
		s.serve(s.ctx, "other.example", s.watch.cloud(s.clever), func(ctx context.Context) error { <-ctx.Done(); return nil })
		text := s.base()
		if changed {
			text = row.with(text)
		}
		if row.prepare != nil {
			row.prepare(s)
		}
		if s.load(text); s.err != nil {
			seen = row.see(s)
			return
		}
		s.begin("")
		if row.play != nil {
			row.play(s)
		} else if !s.quiet(time.Hour) {
			t.Errorf("not quiet: %+v", s.life.manager.Status())
		}
		seen = row.see(s)
		s.end()
	})
	return seen
}

// base is a whole file; the comments mark where rows add lines.
func (s *scene) base() string {
	return fmt.Sprintf(`state_file = %q
#global
[quota_computation]
  reference_runner = "clever"
  reference_flavor = "M"
  reference_jobs_count = 3
#tables
[[runners]]
  name = "clever"
  url = %q
  token = %q
  executor = "clever-docker"
  cc_api_url = %q
  cc_orga_id = %q
  cc_token = %q
#runner
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
#env
  [runners.docker]
    image = "debian:bookworm"
`, filepath.Join(s.dir, "state.db"), gitlabURL, gitlab.RunnerToken, cleverURL+"/v2", clever.FirstOrganisation, clever.FirstToken)
}

// at adds lines at a mark; swap replaces a text.
func at(mark, lines string) func(string) string { return swap("#"+mark+"\n", lines+"\n") }

func swap(pairs ...string) func(string) string {
	return func(text string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				panic("the file does not hold " + pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(text)
	}
}

// load reads the file, as the service does.
func (s *scene) load(text string) {
	file := filepath.Join(s.dir, "paas.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if s.err = err; err == nil {
		s.cfg = cfg
	}
}

// hear notes what the cloud is sent.
func (s *scene) hear(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch user, password, basic := r.BasicAuth(); {
	case basic:
		s.pushed = append(s.pushed, user+":"+password)
	case r.Header.Get("Authorization") != "":
		s.auth, s.host = append(s.auth, r.Header.Get("Authorization")), r.Host
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/applications") {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.bodies = append(s.bodies, string(body))
	}
}

// job queues one that succeeds, or ends as the row shows.
func (s *scene) job(seconds int, more map[string]any) {
	body := job("sim/demo", map[string]any{"virtual_seconds": seconds})
	maps.Copy(body, more)
	s.queue(body, "success", "failed", "canceled")
}

func flavor(name string) map[string]any {
	return map[string]any{"variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": name}}
}

// asked counts the requests of the manager that fit, at a simulator.
func (s *scene) asked(place, method, pattern string) int {
	n := 0
	for _, r := range s.requests(place) {
		fits, err := path.Match(pattern, r.Path)
		if err != nil {
			s.t.Fatal(err)
		}
		if fits && r.Method == method && !strings.Contains(r.UserAgent, "gitlab-runner") {
			n++
		}
	}
	return n
}

// simRequest is a request as GET /_sim/requests shows it.
type simRequest struct {
	At        time.Time `json:"at"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query"`
	UserAgent string    `json:"user_agent"`
}

func (s *scene) requests(place string) []simRequest {
	var out []simRequest
	s.control("GET", place+"/_sim/requests", nil, &out)
	return out
}

// together is how many instances there were at once, at most.
func (s *scene) together() int {
	most := 0
	apps := s.clever.Applications()
	for _, a := range apps {
		n := 0
		for _, b := range apps {
			if !b.CreatedAt.After(a.CreatedAt) && (b.DeletedAt == nil || b.DeletedAt.After(a.CreatedAt)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// apart is the time between the first two creations, in words.
func (s *scene) apart(limit time.Duration) string {
	apps := s.clever.Applications()
	if len(apps) < 2 {
		return "not two instances"
	}
	if d := apps[1].CreatedAt.Sub(apps[0].CreatedAt); d >= limit {
		return "later"
	}
	return "at once"
}

// file is a file that the first instance was given.
func (s *scene) file(name string) string {
	apps := s.clever.Applications()
	if len(apps) == 0 {
		return "no instance"
	}
	text, ok := apps[0].Files[name].(string)
	if !ok {
		return "no such file"
	}
	return text
}

// has tells whether a text holds another.
func has(text, part string) string {
	if strings.Contains(text, part) {
		return "yes"
	}
	return "no"
}

func query(r simRequest, name string) string {
	values, _ := url.ParseQuery(r.Query)
	return values.Get(name)
}
