// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"crypto/subtle"
	"errors"

	"heptapod-paas-runner/internal/hostfile"
)

// ErrNoticeRefused is the answer to a notice that does not come from one of our
// instances.
var ErrNoticeRefused = errors.New("no instance with this key and bearer")

// ErrNotRunning is the answer when the manager has ended.
var ErrNotRunning = errors.New("the manager is not running")

// maxNotices is how many hints of one instance are followed: three come, some of them
// twice. Whoever has its bearer can't have the coordinator asked without end.
const maxNotices = 10

// Notice takes a hint from an instance (DESIGN section 8): the coordinator is asked at
// once what it would have been asked later anyway. Nothing is believed.
func (m *Manager) Notice(key, _, bearer string) error {
	err := ErrNoticeRefused
	ran := m.ask(func() {
		vm := m.machines[key]
		if vm == nil || vm.job == nil || vm.job.rec.Nonce.Empty() || bearer == "" {
			return
		}
		want := hostfile.NoticeBearer(vm.job.rec.Nonce).Reveal()
		if subtle.ConstantTimeCompare([]byte(want), []byte(bearer)) != 1 {
			return
		}
		err = nil
		if vm.job.notices++; vm.job.notices > maxNotices {
			return
		}
		vm.job.hint = true
		if vm.job.trace.fails == 0 {
			vm.job.trace.next = m.stepAt
		}
	})
	if !ran {
		return ErrNotRunning
	}
	return err
}
