// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	cc "heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/store"
)

// earlier plays the service of an earlier release up to the moment at which it was killed:
// it brings the simulators into the state in which they were then, and the ledger that it
// wrote into its place.
type earlier struct {
	w      *world
	folder string
	kept   keptWorld
	client *coordinator.Client
	prov   *cc.Provisioner
	tokens map[int64]secret.String
	bodies map[int64][]byte // what the coordinator grants
	ids    map[string]string
}

// The ledger of an earlier release, a file that it really wrote, is read by today's
// service, which brings all jobs in it to their end; through crashes too, while the
// ledger's form is changed and after. Instances that are still to boot do so with today's
// relay and the instructions of then.
func TestKeptLedgers(t *testing.T) {
	for _, name := range keptReleases(t) {
		for _, cuts := range [][]int{nil, {1}, {2, 4}, {9, 3}, {25, 12, 6}} {
			t.Run(fmt.Sprint(name, cuts), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					e := newEarlier(t, name)
					defer e.w.close()
					e.play()
					if cuts != nil {
						e.cutMigration()
					}
					for _, n := range cuts {
						e.w.beginFate(&fate{after: n})
						e.w.untilCut(patience)
						e.w.end()
					}
					e.w.begin("")
					e.giveUpKept()
					if !e.w.quiet(patience) {
						t.Errorf("not quiet: %+v", e.w.life.manager.Status())
					}
					e.w.report()
					e.w.end()
				})
			})
		}
	}
}

func newEarlier(t *testing.T, name string) *earlier {
	e := &earlier{folder: filepath.Join(releases, name), tokens: map[int64]secret.String{}, bodies: map[int64][]byte{}, ids: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(e.folder, "world.json"))
	if err == nil {
		err = json.Unmarshal(text, &e.kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(e.kept.At)) // the ledger's times are of then
	w := newWorld(t, 11)
	e.w, w.forgot = w, true
	w.coordinator(e.kept.Gitlab)
	e.configure()
	w.serve(w.ctx, "earlier.example", w.clever, func(ctx context.Context) error { <-ctx.Done(); return nil })
	transport := w.net.Client("earlier").Transport()
	if e.client, err = coordinator.New(coordinator.Config{URL: e.kept.Gitlab, Version: name, Transport: transport}); err != nil {
		t.Fatal(err)
	}
	if e.prov, err = cc.New(cc.Config{APIURL: "http://earlier.example/v2", RepoWaitStep: time.Second}, cc.Deps{Transport: transport}); err != nil {
		t.Fatal(err)
	}
	return e
}

// configure reads the configuration of then.
func (e *earlier) configure() {
	text, err := os.ReadFile(filepath.Join(e.folder, "paas.toml"))
	if err != nil {
		e.w.t.Fatal(err)
	}
	path := filepath.Join(e.w.dir, "paas.toml")
	here := strings.ReplaceAll(string(text), e.kept.Clever, cleverURL)
	if err := os.WriteFile(path, []byte(here), 0o600); err != nil {
		e.w.t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		e.w.t.Fatal(err)
	}
	cfg.StateFile = filepath.Join(e.w.dir, "state.db")
	e.w.cfg = cfg
}

// play does what the service of then had done.
func (e *earlier) play() {
	for _, job := range e.kept.Jobs {
		e.acquire(job)
	}
	for _, job := range e.kept.Jobs {
		if job.Left != "starting" {
			e.launch(job)
		}
	}
	time.Sleep(2 * bootTime)
	for _, job := range e.kept.Jobs {
		if job.Left == "starting" {
			e.launch(job)
		}
	}
	e.writeLedger()
}

// acquire queues a job, takes it, and writes what the manager of then had written.
func (e *earlier) acquire(job keptJob) {
	want := "success"
	if job.Left == "failing" || job.Left == "kept" {
		want = "failed"
	}
	body := map[string]any{"script": []string{"true"}, "virtual_seconds": 5}
	if job.Left == "running" {
		body["virtual_seconds"] = 400
	}
	if o := e.w.queueAt(e.kept.Gitlab, body, want); o.id != job.ID {
		e.w.t.Fatalf("job %d has now the number %d", job.ID, o.id)
	}
	for e.bodies[job.ID] == nil {
		grant, err := e.client.Request(e.w.ctx, coordinator.RunnerCall{Token: e.w.cfg.Runners[0].Token})
		if err != nil {
			e.w.t.Fatal(err)
		}
		if grant.Job != nil {
			e.tokens[grant.Job.ID], e.bodies[grant.Job.ID] = grant.Job.Token, grant.Job.Raw
		}
	}
	trace := job.Trace
	if n, started := e.prefix(job.ID); started {
		trace = trace[:n]
	}
	_, err := e.client.AppendTrace(e.w.ctx, job.ID, e.tokens[job.ID], 0, []byte(trace))
	if err == nil && job.Status == "failed" {
		_, err = e.client.Update(e.w.ctx, job.ID, e.tokens[job.ID], coordinator.Update{State: coordinator.StateFailed, FailureReason: "runner_system_failure"})
	}
	if err != nil {
		e.w.t.Fatal(err)
	}
}

// prefix gives how much of a job's trace the manager had written before it started the
// job, if it had.
func (e *earlier) prefix(job int64) (n int, started bool) {
	text, ok := e.application(job).Files["relay.json"].(string)
	var instructions struct {
		PrefixBytes int `json:"prefix_bytes"`
	}
	if !ok || json.Unmarshal([]byte(text), &instructions) != nil {
		return 0, false
	}
	return instructions.PrefixBytes, true
}

// application is the instance of a job as it was then.
func (e *earlier) application(job int64) clever.Application {
	key := e.w.cfg.Runners[0].Owner.Key(job)
	i := slices.IndexFunc(e.kept.Applications, func(app clever.Application) bool { return app.Name == key && app.State != "deleted" })
	if i < 0 {
		return clever.Application{}
	}
	return e.kept.Applications[i]
}

// launch makes the instance of a job, and starts it, as far as that had been done.
func (e *earlier) launch(job keptJob) {
	app := e.application(job.ID)
	if app.ID == "" {
		return
	}
	tenant := cloud.Tenant{ID: clever.FirstOrganisation, Token: secret.New(clever.FirstToken)}
	seen, err := e.prov.Create(e.w.ctx, cloud.Spec{Key: app.Name, Tenant: tenant, Flavor: strings.TrimPrefix(app.Flavor, "heptapod-runner-")})
	if err != nil {
		e.w.t.Fatal(err)
	}
	var h struct {
		ID string `json:"app_id"`
	}
	if err := json.Unmarshal(seen.Handle, &h); err != nil {
		e.w.t.Fatal(err)
	}
	e.ids[app.ID] = h.ID
	if len(app.Files) == 0 {
		return
	}
	var files []fleet.File
	for path, content := range app.Files {
		text, ok := content.(string)
		switch {
		case path == "job.json":
			text = string(e.bodies[job.ID])
		case !ok:
			text = "relay"
		}
		files = append(files, fleet.File{Path: path, Data: []byte(text)})
	}
	if err := e.prov.Start(e.w.ctx, cloud.Ref{Key: app.Name, Tenant: tenant, Handle: seen.Handle}, files); err != nil {
		e.w.t.Fatal(err)
	}
}

// writeLedger puts the ledger of then into its place. Only what the simulators give out has
// changed since: tokens, payloads, ids of applications.
func (e *earlier) writeLedger() {
	data, err := os.ReadFile(filepath.Join(e.folder, "state.db"))
	if err == nil {
		err = os.WriteFile(e.w.cfg.StateFile, data, 0o600)
	}
	if err != nil {
		e.w.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", e.w.cfg.StateFile)
	if err != nil {
		e.w.t.Fatal(err)
	}
	defer db.Close()
	change := func(query string, args ...any) {
		if _, err := db.ExecContext(e.w.ctx, query, args...); err != nil {
			e.w.t.Fatal(err)
		}
	}
	for id, token := range e.tokens {
		change("UPDATE jobs SET token = $1, payload = $2 WHERE id = $3 AND token <> ''", token.Reveal(), e.bodies[id], id)
	}
	for old, now := range e.ids {
		change("UPDATE instances SET handle = CAST(replace(CAST(handle AS TEXT), $1, $2) AS BLOB) WHERE handle IS NOT NULL", old, now)
	}
}

// giveUpKept waits for the service to be at work, and does what an operator does with an
// instance that was kept.
func (e *earlier) giveUpKept() {
	for range 100 {
		for _, vm := range e.w.life.manager.Status().Instances {
			if vm.State == fleet.InstanceKept {
				if err := e.w.life.manager.Forget(vm.Key); err != nil {
					e.w.t.Error(err)
				}
				e.w.remove(vm.Key)
				return
			}
		}
		time.Sleep(time.Second)
	}
	e.w.t.Error("no instance is kept")
}

// cutMigration cuts the power at each point of the change of the ledger's form, until one
// try gets through.
func (e *earlier) cutMigration() {
	for n := range 100 {
		left := pointsLeft(n)
		ledger, err := store.Open(e.w.ctx, store.Config{Path: e.w.cfg.StateFile, Hook: &left, Release: "test"})
		if err == nil {
			err = ledger.Close()
		} else if errors.Is(err, errPower) {
			continue
		}
		if err != nil {
			e.w.t.Fatal(err)
		}
		return
	}
	e.w.t.Fatal("the change of the ledger's form never ends")
}
