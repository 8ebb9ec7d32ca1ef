// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"log/slog"
	"sync"
)

// memory is the state on disk and the copy of it in use.
type memory struct {
	dir  string
	log  *slog.Logger
	over chan struct{} // closed when the coordinator has the final update

	mu    sync.Mutex
	state state
}

// change saves a changed state; on an error the state is as before.
func (m *memory) change(edit func(*state)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.state
	edit(&next)
	if err := next.save(m.dir); err != nil {
		return err
	}
	m.state = next
	return nil
}

func (m *memory) now() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *memory) handOut() error { return m.change(func(s *state) { s.HandedOut = true }) }

// The rest only helps a relay that starts after this one; that it could not be
// written is no reason to stop.

func (m *memory) base(size int64) { m.logged(m.change(func(s *state) { s.Base = size })) }

func (m *memory) heard(word finalWord) { m.logged(m.change(func(s *state) { s.Final = &word })) }

func (m *memory) delivered() {
	m.logged(m.change(func(s *state) { s.Done = true }))
	if !isClosed(m.over) {
		close(m.over)
	}
}

func (m *memory) logged(err error) {
	if err != nil {
		m.log.Error("remember", "err", err)
	}
}
