// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"crypto/rand"
	"testing"
	"testing/synctest"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// A coordinator that was put back to an older state gives numbers out again. Another job of a
// number that is in use here can't be told from it, and is ended; the same answer once more is not.
func TestNumberIsGivenOutAgain(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		job   bool // of that number is open, else an instance is kept
		want  int
	}{
		"the same answer": {"first", true, 0}, "another job": {"second", true, 1}, "a kept instance": {"second", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := bare()
				m.deps.Random = rand.Reader
				r := &runner{cfg: config.Runner{Coordinator: "https://gitlab.example", Owner: "abcdefghij"}}
				id := fleet.JobID{Coordinator: r.cfg.Coordinator, ID: 7}
				if c.job {
					m.jobs[id] = &job{runner: r, rec: fleet.Job{JobID: id, State: fleet.JobFinished, Token: secret.New("first")}}
				} else {
					m.machines[r.cfg.Owner.Key(7)] = &machine{runner: r, rec: fleet.Instance{Key: r.cfg.Owner.Key(7), State: fleet.InstanceKept}}
				}
				m.acquire(t.Context(), r, &coordinator.Payload{ID: 7, Token: secret.New(c.token)})
				if len(m.unrecordable) != c.want {
					t.Errorf("%d jobs are ended from memory, want %d", len(m.unrecordable), c.want)
				}
			})
		})
	}
}
