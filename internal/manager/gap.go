// SPDX-License-Identifier: Apache-2.0

package manager

import "time"

// gapFrom is how late a step must be for a gap: the process was stopped, its computer was
// paused, or its disk did not answer.
const gapFrom = 30 * time.Second

// watchGap notices that nobody looked after anything for a while, though this process lives.
// It is like a start then: limits that ran out meanwhile may rest on nothing but that,
// and answers that have long arrived have to be seen first.
func (m *Manager) watchGap() {
	now := time.Now()
	late := now.Sub(m.dueAt)
	if m.dueAt.IsZero() || late < gapFrom {
		return
	}
	m.log.Warn("this process did nothing for a while: it was stopped, or its disk did not answer; its jobs get more time", "took", late)
	m.dueAt, m.attended = now, now
	for _, j := range m.jobs {
		j.looked = false
	}
}
