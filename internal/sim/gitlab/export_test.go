// SPDX-License-Identifier: Apache-2.0

package gitlab

// Truncate loses the end of a trace, as a server does that loses a chunk of it.
func (s *Server) Truncate(id int64, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := s.find(id); ok {
		j.trace = j.trace[:size]
	}
}
