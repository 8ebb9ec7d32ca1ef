// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/api"
	"heptapod-paas-runner/internal/sim/clever"
)

// upgrade is a town in which one release of the service follows another.
type upgrade struct {
	*town
	base   string // URL of the service
	today  string // the program of today
	queued []expectation
}

// expectation is a job, and how it must end.
type expectation struct {
	id     int64
	state  string // in which the old release leaves it
	status string // at the coordinator, in the end
	runs   int    // of its script
}

// What an earlier release has begun is gone on with by today's: it leaves jobs in every
// state, with its own relay on the instances, and is killed; today's service takes its
// ledger and brings every job to its end. With KEEP=1 the ledger and the world are written
// down for TestKeptLedgers.
func TestJobsOfEarlierReleases(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs and takes its time")
	}
	for _, name := range keptReleases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpgrade(t)
			u.program = buildRelease(t, name, t.TempDir())
			u.start()
			u.leaveJobs()
			u.stop(syscall.SIGKILL)
			u.keepWorld(name)
			u.program = u.today
			u.start()
			u.sees("the ledger is taken over", func(s api.Status) bool { return len(s.Jobs) == 6 && len(s.Instances) == 5 })
			u.release()
			u.judge()
			u.checkSecrets()
		})
	}
}

func newUpgrade(t *testing.T) *upgrade {
	u := &upgrade{town: newSlowTown(t, "5s")}
	u.port, u.today = freePort(t), u.program
	u.base = "http://127.0.0.1:" + u.port
	text, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	// That a job has ended is told by its relay's notice only: the poll would take too long.
	changed := strings.NewReplacer("job_progress_poll_interval = 0.3", "job_progress_poll_interval = 600", "timeout_seconds = 60", "timeout_seconds = 300").Replace(string(text))
	more := fmt.Sprintf("listen_address = \"127.0.0.1:%s\"\npaas_advertise_url = %q\npaas_decommission_launch_failures = false\n", u.port, u.base)
	if err := os.WriteFile(u.config, []byte(more+changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// leaveJobs brings jobs into every state that lasts, and instances too.
func (u *upgrade) leaveJobs() {
	u.fault(u.clever, "* /git/*/*", 403) // a push that is refused: what was made is kept
	u.leave("kept", "failed", 0, "echo never", nil)
	u.call(http.MethodDelete, u.clever+"/_sim/faults", nil, nil)

	u.fault(u.clever, "DELETE /v2/organisations/*/applications/*", 503)
	u.leave("deleting", "success", 1, "echo short", nil)
	u.leave("running", "success", 1, "while [ ! -e "+u.dir+"/go ]; do sleep 0.1; done; echo finished", nil)
	id := u.next()
	u.fault(u.gitlab, fmt.Sprintf("PUT /api/v4/jobs/%d", id), 503)
	u.leave("failing", "failed", 0, "echo never", map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XXL"})
	id = u.next()
	u.leave("starting", "success", 1, "echo late", map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"})
	u.sees("its instance is started", func(s api.Status) bool {
		return slices.ContainsFunc(s.Instances, func(vm api.Instance) bool { return vm.JobID == id && vm.State == "started" })
	})
	u.fault(u.gitlab, fmt.Sprintf("PATCH /api/v4/jobs/%d/trace", id), 503)

	u.fault(u.clever, "GET /v2/organisations/*/applications", 503)
	u.call(http.MethodPost, u.clever+"/_sim/faults", map[string]any{"match": "POST /v2/organisations/*/applications", "drop": "after", "times": 0}, nil)
	u.leave("unknown", "success", 1, "echo lost", map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"})
	u.leave("waiting", "success", 1, "echo heavy", map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"})
}

func (u *upgrade) next() int64 { return 100001 + int64(len(u.queued)) }

func (u *upgrade) fault(server, match string, status int) {
	u.call(http.MethodPost, server+"/_sim/faults", map[string]any{"match": match, "times": 0, "status": status}, nil)
}

// leave queues a job and waits until it, or its instance, is in a state.
func (u *upgrade) leave(state, status string, runs int, script string, variables map[string]any) {
	id := u.next()
	u.queued = append(u.queued, expectation{id: id, state: state, status: status, runs: runs})
	script = fmt.Sprintf("echo run >> %s; %s", u.ran(id), script)
	u.call(http.MethodPost, u.gitlab+"/_sim/jobs", map[string]any{"script": []string{script}, "variables": variables}, nil)
	u.sees(fmt.Sprintf("job %d is %s", id, state), func(s api.Status) bool {
		return slices.ContainsFunc(s.Jobs, func(j api.Job) bool { return j.ID == id && j.State == state }) ||
			slices.ContainsFunc(s.Instances, func(vm api.Instance) bool { return vm.JobID == id && vm.State == state })
	})
}

func (u *upgrade) ran(id int64) string { return filepath.Join(u.dir, fmt.Sprintf("ran.%d", id)) }

// sees waits until the service's status shows something.
func (u *upgrade) sees(what string, is func(api.Status) bool) {
	var s api.Status
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := (&http.Client{Timeout: 5 * time.Second}).Get(u.base + "/api/v1/status")
		if err != nil {
			continue
		}
		s = api.Status{}
		err = json.NewDecoder(answer.Body).Decode(&s)
		answer.Body.Close()
		if err == nil && is(s) {
			return
		}
	}
	log, _ := os.ReadFile(u.log.Name())
	u.t.Fatalf("never seen: %s; the status is %+v\n%s", what, s, log)
}

// release lets everything go on.
func (u *upgrade) release() {
	for _, server := range []string{u.gitlab, u.clever} {
		u.call(http.MethodDelete, server+"/_sim/faults", nil, nil)
	}
	if err := os.WriteFile(filepath.Join(u.dir, "go"), nil, 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// judge waits for the end of all, and looks at it.
func (u *upgrade) judge() {
	kept := ""
	u.sees("nothing but what is kept", func(s api.Status) bool {
		if len(s.Jobs) > 0 || len(s.Instances) != 1 || s.Instances[0].State != "kept" {
			return false
		}
		kept = s.Instances[0].Key
		return true
	})
	for i, j := range u.jobs() {
		want := u.queued[i]
		ran, _ := os.ReadFile(u.ran(j.ID))
		if runs := strings.Count(string(ran), "run\n"); j.Status != want.status || runs != want.runs {
			u.t.Errorf("job %d, left %s, ended %s (%s) and its script ran %d times:\n%s", j.ID, want.state, j.Status, j.FailureReason, runs, j.Trace)
		}
	}
	for _, app := range u.applications() {
		if (app.State != "deleted") != (app.Name == kept) {
			u.t.Errorf("%s is %s", app.Name, app.State)
		}
	}
	if out, err := exec.CommandContext(u.t.Context(), u.program, "audit", "-a", "127.0.0.1:"+u.port, "--forget", kept).CombinedOutput(); err != nil {
		u.t.Errorf("forget %s: %v\n%s", kept, err, out)
	}
	u.stop(syscall.SIGTERM)
	if log, _ := os.ReadFile(u.log.Name()); strings.Contains(string(log), "send a notice") {
		u.t.Errorf("a relay's notice was refused:\n%s", log)
	}
}

// keptWorld is what stood around a ledger when its service was killed.
type keptWorld struct {
	At           time.Time            `json:"at"`
	Gitlab       string               `json:"gitlab"`
	Clever       string               `json:"clever"`
	Jobs         []keptJob            `json:"jobs"`
	Applications []clever.Application `json:"applications"`
}

// keptJob is a job as its coordinator knew it.
type keptJob struct {
	ID     int64  `json:"id"`
	Status string `json:"status"`
	Trace  string `json:"trace"`
	Left   string `json:"left"` // the state of the job or of its instance
}

// keepWorld writes down the ledger and what stands around it.
func (u *upgrade) keepWorld(name string) {
	if os.Getenv("KEEP") == "" {
		return
	}
	world := keptWorld{At: time.Now().UTC(), Gitlab: u.gitlab, Clever: u.clever, Applications: u.applications()}
	for i, j := range u.jobs() {
		world.Jobs = append(world.Jobs, keptJob{ID: j.ID, Status: j.Status, Trace: j.Trace, Left: u.queued[i].state})
	}
	text, err := json.MarshalIndent(world, "", "  ")
	if err != nil {
		u.t.Fatal(err)
	}
	u.foldLedger()
	files := map[string][]byte{"world.json": append(text, '\n')}
	for to, from := range map[string]string{"state.db": "state/state.db", "paas.toml": "paas.toml"} {
		if files[to], err = os.ReadFile(filepath.Join(u.dir, from)); err != nil {
			u.t.Fatal(err)
		}
	}
	for to, data := range files {
		if err := os.WriteFile(filepath.Join(releases, name, to), data, 0o644); err != nil {
			u.t.Fatal(err)
		}
	}
}

// foldLedger makes one file of the ledger and the log that a killed service leaves.
func (u *upgrade) foldLedger() {
	db, err := sql.Open("sqlite", filepath.Join(u.dir, "state", "state.db"))
	if err == nil {
		_, err = db.ExecContext(u.t.Context(), "VACUUM")
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		u.t.Fatal(err)
	}
}
