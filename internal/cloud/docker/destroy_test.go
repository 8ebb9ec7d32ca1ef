// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/fleet"
)

const (
	ownKey   = "hpd-job-abcdefgh23-77"
	ourShort = "abcdefghi"
)

// ofRunner are the labels that gitlab-runner puts on all it makes for job 77.
func ofRunner(short string) map[string]string {
	const of = "com.gitlab.gitlab-runner."
	return map[string]string{of + "managed": "true", of + "job.id": "77", of + "runner.id": short}
}

// racing makes an instance whose sub-runner starts containers as fast as it can.
func (e box) racing(t *testing.T, p *docker.Provisioner) cloud.Ref {
	t.Helper()
	made, err := p.Create(t.Context(), cloud.Spec{Key: ownKey, Flavor: "M"})
	if err != nil {
		t.Fatal(err)
	}
	job, err := json.Marshal(map[string]any{
		"Image": "waits:1", "Labels": ofRunner(ourShort), "Ours": map[string]string{docker.KeyLabel: ownKey}, "Lines": 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	ref := cloud.Ref{Key: ownKey, Handle: made.Handle}
	if err := p.Start(t.Context(), ref, []fleet.File{{Path: "job.json", Data: job}, {Path: "runner.toml"}}); err != nil {
		t.Fatal(err)
	}
	return ref
}

// destroyed destroys as the manager does: again, when it was not done.
func destroyed(t *testing.T, p *docker.Provisioner, ref cloud.Ref) {
	t.Helper()
	var err error
	for range 5 {
		if err = p.Destroy(context.WithoutCancel(t.Context()), ref); err == nil {
			return
		}
		t.Log(err)
	}
	t.Fatal(err)
}

// names lists all that is on the engine but Docker's own networks: the names of networks
// and volumes, and of containers that the test has named.
func (e box) names(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, c := range e.list(t) {
		out = append(out, "container "+strings.Join(c.Names, " "))
	}
	var networks []struct{ Name string }
	e.Must(t, http.MethodGet, "/networks?"+url.Values{"filters": {`{"type":["custom"]}`}}.Encode(), nil, &networks)
	for _, n := range networks {
		out = append(out, "network "+n.Name)
	}
	var volumes struct{ Volumes []struct{ Name string } }
	e.Must(t, http.MethodGet, "/volumes", nil, &volumes)
	for _, v := range volumes.Volumes {
		out = append(out, "volume "+v.Name)
	}
	slices.Sort(out)
	return out
}

// others makes what looks much like an instance's and is not: of another key, of another
// runner's job of the same number, and an operator's own.
func (e box) others(t *testing.T) {
	t.Helper()
	make := func(name string, labels map[string]string) {
		e.Must(t, http.MethodPost, "/networks/create", map[string]any{"Name": "net-" + name, "Labels": labels}, nil)
		e.Must(t, http.MethodPost, "/volumes/create", map[string]any{"Name": "vol-" + name, "Labels": labels}, nil)
		e.Run(t, name, map[string]any{
			"Image": "waits:1", "Cmd": []string{"sleep", "100000"}, "Labels": labels,
			"HostConfig": map[string]any{"Binds": []string{"vol-" + name + ":/v"}, "NetworkMode": "net-" + name},
		})
	}
	make("operators", nil)
	make("other-runner", ofRunner("zyxwvutsr"))
	other := ofRunner(ourShort)
	other["com.gitlab.gitlab-runner.job.id"] = "7"
	other[docker.KeyLabel] = "hpd-job-abcdefgh23-7"
	make("other-job", other)
	longer := map[string]string{docker.KeyLabel: ownKey + "0", "heptapod.paas-relay.key": ownKey + "0"}
	make(ownKey+"0", longer)
}

func newRacing(t *testing.T) box {
	t.Helper()
	e := box{engine.Start(t, engine.Options{})}
	racer := engine.Build(t, "heptapod-paas-runner/internal/cloud/docker/racer")
	e.Import(t, "waits:1", engine.Busybox(t), `ENV PATH=/usr/bin:/bin`)
	e.Import(t, "races:1", append(engine.Busybox(t), engine.File{Path: "/usr/bin/gitlab-runner", From: racer}), `ENV PATH=/usr/bin:/bin`)
	return e
}

// An instance that is destroyed while its sub-runner starts containers leaves nothing, also
// of what carries no label of ours; what only looks like it stays.
func TestDestroyWhileItStartsContainers(t *testing.T) {
	t.Parallel()
	e := newRacing(t)
	e.others(t)
	cfg := e.config()
	cfg.Image, cfg.ShortToken = "races:1", ourShort
	p := e.provisioner(t, cfg, nil)
	before := e.names(t)
	for range 2 {
		ref := e.racing(t, p)
		await(t, func() bool { return len(e.names(t)) > len(before)+8 })
		destroyed(t, p, ref)
		calm(t, func() { // nothing comes after it
			if diff := cmp.Diff(before, e.names(t)); diff != "" {
				t.Fatalf("-before +after: %s", diff)
			}
		})
	}
}

// When the runner's token was changed, its things don't show that they are its: those in
// use by what carries our label go, nothing else.
func TestDestroyAfterTheTokenWasChanged(t *testing.T) {
	t.Parallel()
	e := newRacing(t)
	e.others(t)
	cfg := e.config()
	cfg.Image, cfg.ShortToken = "races:1", ourShort
	before := e.names(t)
	ref := e.racing(t, e.provisioner(t, cfg, nil))
	await(t, func() bool { return len(e.names(t)) > len(before)+8 })
	cfg.ShortToken = "another01"
	destroyed(t, e.provisioner(t, cfg, nil), ref)
	for _, c := range e.list(t) {
		if c.Labels[docker.KeyLabel] == ownKey {
			t.Errorf("left: %s", c.Names)
		}
	}
	cfg.ShortToken = ourShort
	destroyed(t, e.provisioner(t, cfg, nil), ref)
	if diff := cmp.Diff(before, e.names(t)); diff != "" {
		t.Errorf("-before +after: %s", diff)
	}
}

// What a job with the engine's socket writes where an instance's things are noted does not
// keep it.
func TestDestroyOfAnInstanceWithAForgedNote(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	p := e.provisioner(t, e.config(), nil)
	for i, note := range []string{`{"networks":5}`, `{"networks":["bridge","host"],"volumes":["x"]}`, ``, `[`, strings.Repeat(" ", 2<<20)} {
		key := fleet.Owner("abcdefgh24").Key(int64(i + 1))
		made, err := p.Create(t.Context(), cloud.Spec{Key: key, Flavor: "M"})
		if err != nil {
			t.Fatal(err)
		}
		e.Put(t, key, engine.File{Path: "/etc/heptapod-runner/.left.json", Data: note})
		if err := p.Destroy(t.Context(), cloud.Ref{Key: key, Handle: made.Handle}); err != nil {
			t.Errorf("%.40q: %v", note, err)
		}
		e.Must(t, http.MethodGet, "/networks/bridge", nil, nil)
	}
}

// await waits for what the engine does.
func await(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatal("it does not come")
		}
	}
}

// calm looks again and again for a while.
func calm(t *testing.T, look func()) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 15 {
		look()
		<-tick.C
	}
}
