// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strconv"
	"strings"
)

// peek gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos >= len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

// blank goes over the given characters.
func (s *scanner) blank(chars string) {
	for s.pos < len(s.text) && strings.IndexByte(chars, s.text[s.pos]) >= 0 {
		if s.text[s.pos] == '\n' {
			s.line++
		}
		s.pos++
	}
}

// restOfLine goes to the end of the line, not over it.
func (s *scanner) restOfLine() {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i
		return
	}
	s.pos = len(s.text)
}

// keys reads a dotted key. Of a very deep one the first keys are enough.
func (s *scanner) keys() []string {
	var out []string
	for {
		s.blank(" \t")
		var key string
		if c := s.peek(); c == '"' || c == '\'' {
			key = s.quoted()
		} else {
			key = s.bare()
		}
		if len(out) < deepest {
			out = append(out, key)
		}
		s.blank(" \t")
		if s.peek() != '.' {
			return out
		}
		s.pos++
	}
}

func (s *scanner) bare() string {
	start := s.pos
	for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n.=]}#,\"'", rune(s.text[s.pos])) {
		s.pos++
	}
	return s.text[start:s.pos]
}

// quoted goes over a string of any of the four kinds and gives its value.
func (s *scanner) quoted() string {
	quote := s.text[s.pos : s.pos+1]
	long := strings.HasPrefix(s.text[s.pos:], strings.Repeat(quote, 3))
	if long {
		quote = strings.Repeat(quote, 3)
	}
	s.pos += len(quote)
	start := s.pos
	for s.pos < len(s.text) && !strings.HasPrefix(s.text[s.pos:], quote) {
		if s.text[s.pos] == '\n' && !long {
			return s.text[start:s.pos] // not TOML
		}
		if s.text[s.pos] == '\\' && quote[0] == '"' {
			s.pos++
		}
		if s.peek() == '\n' {
			s.line++
		}
		s.pos++
	}
	s.pos = min(s.pos, len(s.text))
	inner := s.text[start:s.pos]
	s.pos = min(s.pos+len(quote), len(s.text))
	for extra := 0; long && extra < 2 && s.peek() == quote[0]; extra++ {
		s.pos++ // up to two quotes before the last three belong to the text
	}
	if value, err := strconv.Unquote(`"` + inner + `"`); err == nil && quote == `"` {
		return value
	}
	return inner
}
