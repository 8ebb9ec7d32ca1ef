// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"errors"
	"testing"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
)

// Who has an instance's bearer can't have the coordinator asked without end, and who has
// none can't have it asked at all.
func TestNoticesAreHintsAndFew(t *testing.T) {
	m := bare()
	m.events, m.stopped = make(chan event), make(chan struct{})
	go func() {
		for ev := range m.events {
			ev()
		}
	}()
	nonce := secret.New("a nonce")
	j := &job{rec: fleet.Job{Nonce: nonce}}
	vm := &machine{job: j}
	j.vm, m.machines["here"], m.machines["adopted"] = vm, vm, &machine{job: &job{}}
	good, hints := hostfile.NoticeBearer(nonce).Reveal(), 0
	for range 1000 {
		if err := m.Notice("here", "booted", good); err != nil {
			t.Fatal(err)
		}
		if j.hint {
			hints++
		}
		j.hint = false
	}
	if hints < 3 || hints > 20 {
		t.Errorf("%d hints of one instance are followed", hints)
	}
	for _, wrong := range [][2]string{{"here", ""}, {"here", "x"}, {"here", good[1:]}, {"elsewhere", good}, {"adopted", ""}, {"adopted", hostfile.NoticeBearer(secret.String{}).Reveal()}} {
		if err := m.Notice(wrong[0], "booted", wrong[1]); !errors.Is(err, ErrNoticeRefused) || j.hint {
			t.Errorf("%s with %q: %v", wrong[0], wrong[1], err)
		}
	}
	close(m.events)
}
