// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/sim/gitlab"
)

const (
	ofRunner = "com.gitlab.gitlab-runner."
	keyLabel = "heptapod.paas-runner.key"
)

// others makes what is not ours: much like an instance's things, and an operator's.
func (n *town) others() {
	n.t.Helper()
	for name, labels := range map[string]map[string]string{
		"operators":   nil,
		"other-owner": {keyLabel: "hpd-job-aaaaaaaaaa-100001", "heptapod.paas-runner.role": "instance"},
		"other-gitlab-runner": {
			ofRunner + "managed": "true", ofRunner + "job.id": "100001", ofRunner + "runner.id": "zyxwvutsr",
		},
		string(n.places[0].owner(n.t)): {keyLabel: n.places[0].owner(n.t).Key(100001) + "-copy"},
	} {
		n.Must(n.t, http.MethodPost, "/networks/create", map[string]any{"Name": "net-" + name, "Labels": labels}, nil)
		n.Must(n.t, http.MethodPost, "/volumes/create", map[string]any{"Name": "vol-" + name, "Labels": labels}, nil)
		n.Run(n.t, name, map[string]any{
			"Image": "job:1", "Cmd": []string{"sleep", "100000"}, "Labels": labels,
			"HostConfig": map[string]any{"Binds": []string{"vol-" + name + ":/v"}, "NetworkMode": "net-" + name, "RestartPolicy": map[string]any{"Name": "always"}},
		})
	}
	// what the operator shares between jobs, by its name
	n.Must(n.t, http.MethodPost, "/volumes/create", map[string]any{"Name": "kept"}, nil)
}

// container is one as the engine lists it.
type container struct {
	ID     string `json:"Id"`
	Names  []string
	Labels map[string]string
	State  string
}

func (n *town) containers() []container {
	var out []container
	n.Must(n.t, http.MethodGet, "/containers/json?all=true", nil, &out)
	return out
}

// names lists all that is on the engine but Docker's own networks.
func (n *town) names() []string {
	var out []string
	for _, c := range n.containers() {
		out = append(out, "container "+strings.Join(c.Names, " ")+" "+c.State)
	}
	var networks []struct{ Name string }
	n.Must(n.t, http.MethodGet, "/networks?"+url.Values{"filters": {`{"type":["custom"]}`}}.Encode(), nil, &networks)
	for _, c := range networks {
		out = append(out, "network "+c.Name)
	}
	var volumes struct{ Volumes []struct{ Name string } }
	n.Must(n.t, http.MethodGet, "/volumes", nil, &volumes)
	for _, v := range volumes.Volumes {
		out = append(out, "volume "+v.Name)
	}
	var images []struct{ RepoTags []string }
	n.Must(n.t, http.MethodGet, "/images/json?all=true", nil, &images)
	for _, i := range images {
		out = append(out, "image "+strings.Join(i.RepoTags, " "))
	}
	slices.Sort(out)
	return out
}

// status asks the running service; it may not answer yet.
func (n *town) status() (api.Status, error) {
	var s api.Status
	err := n.ask("/api/v1/status", &s)
	return s, err
}

func (n *town) ask(path string, into any) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return n.Dial(ctx, network, address)
		},
	}}
	answer, err := client.Get("http://" + statusAddress + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s, %w", path, answer.StatusCode, text, err)
	}
	return json.Unmarshal(text, into)
}

// clean waits until all jobs have ended, and then sees that all that was ours is gone, that
// all else is as it was, and that no weight is held.
func (n *town) clean(t *testing.T) {
	t.Helper()
	var s api.Status
	var err error
	eventually(t, 4*time.Minute, func() bool {
		s, err = n.status()
		return err == nil && len(s.Jobs) == 0 && len(s.Instances) == 0 && len(s.Strangers) == 0 && n.open() == 0
	}, func() string { return fmt.Sprintf("%d jobs are open; %v, %+v\n%s", n.open(), err, s, n.says()) })
	if s.Quota.Used != "0" || s.Fuse != "" {
		t.Errorf("I3: weight %s is held; fuse %q", s.Quota.Used, s.Fuse)
	}
	if diff := cmp.Diff(n.before, n.names()); diff != "" {
		t.Errorf("I4, I5: on the engine, -before +after: %s\n%s", diff, n.says())
	}
	var a api.Audit
	if err := n.ask("/api/v1/audit", &a); err != nil || a.Unexplained != 0 {
		t.Errorf("audit: %+v, %v", a, err)
	}
	for _, p := range n.places {
		if strings.Contains(n.says(), p.token[5:]) {
			t.Error("I7: the service's log holds a runner token")
		}
	}
}

// open counts the jobs that have no end.
func (n *town) open() int {
	open := 0
	for _, p := range n.places {
		for _, j := range p.gitlab.Jobs() {
			if j.FinishedAt == nil {
				open++
			}
		}
	}
	return open
}

// queue queues a job that clones nothing.
func (p *place) queue(t *testing.T, spec gitlab.Spec, variables ...string) int64 {
	t.Helper()
	spec.Variables = map[string]gitlab.Variable{"GIT_STRATEGY": {Value: "none"}}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		spec.Variables[name] = gitlab.Variable{Value: value}
	}
	id, err := p.gitlab.Queue(spec)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// script queues a job of some lines.
func (p *place) script(t *testing.T, lines ...string) int64 {
	t.Helper()
	return p.queue(t, gitlab.Spec{Script: lines})
}

func (p *place) now(id int64) gitlab.Job {
	j, _ := p.gitlab.Job(id)
	return j
}

// ends waits for a job's end.
func (p *place) ends(t *testing.T, id int64, status, reason string) gitlab.Job {
	t.Helper()
	eventually(t, 4*time.Minute, func() bool { return p.now(id).FinishedAt != nil }, func() string {
		return fmt.Sprintf("job %d is still %s:\n%s\n%s", id, p.now(id).Status, p.now(id).Trace, p.says())
	})
	j := p.now(id)
	why := ""
	if j.FailureReason != nil {
		why = *j.FailureReason
	}
	if j.Status != status || why != reason {
		t.Errorf("job %d ended %s (%s), want %s (%s):\n%s", id, j.Status, why, status, reason, j.Trace)
	}
	return j
}

// of finds a job's container of a kind: build, helper or service.
func (p *place) of(t *testing.T, job int64, kind string) string {
	t.Helper()
	var found string
	eventually(t, time.Minute, func() bool {
		for _, c := range p.containers() {
			if c.Labels[keyLabel] == p.owner(t).Key(job) && c.Labels[ofRunner+"type"] == kind && c.State == "running" {
				found = c.ID
			}
		}
		return found != ""
	}, func() string { return fmt.Sprintf("job %d has no %s container", job, kind) })
	return found
}

// instance is the name of a job's instance's own container.
func (p *place) instance(t *testing.T, job int64) string {
	t.Helper()
	return p.owner(t).Key(job)
}

func each(t *testing.T, n *town, test func(*testing.T, *place)) {
	t.Helper()
	for _, p := range n.places {
		t.Run(p.mode, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}
