// SPDX-License-Identifier: Apache-2.0

package manager

// polledEnough tells whether each runner was asked for jobs as often as the configuration
// wants before the service ends, in tests of the Python program's command line.
func (m *Manager) polledEnough() bool {
	if m.cfg.PollCycles == 0 {
		return false
	}
	for _, r := range m.runners {
		if !r.removed && r.polls < m.cfg.PollCycles {
			return false
		}
	}
	return true
}
