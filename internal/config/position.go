// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// positions gives the line of each key by its path: "state_file",
// "quota_computation.reference_runner", "runners[0].cc_zone"; a table's path gives the
// line of its header. The parser that reads the values does not tell lines.
type positions map[string]int

// at gives the line of a path, or of the nearest table around it; 1 at the worst.
func (p positions) at(path string) int {
	for path != "" {
		if line, ok := p[path]; ok {
			return line
		}
		cut := strings.LastIndexByte(path, '.')
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return 1
}

// scan finds the positions in a file that the parser has accepted.
func scan(text string) positions {
	s := scanner{text: text, line: 1, found: positions{}, arrays: map[string]int{}}
	for s.pos < len(s.text) {
		s.statement()
	}
	return s.found
}

type scanner struct {
	text   string
	pos    int
	line   int
	table  string // path of the present table
	found  positions
	arrays map[string]int // arrays of tables by name: how many so far
}

// statement reads one header, key with value, comment or blank.
func (s *scanner) statement() {
	s.skip(" \t\r\n")
	switch {
	case s.pos >= len(s.text):
	case s.text[s.pos] == '#':
		s.restOfLine()
	case s.text[s.pos] == '[':
		s.header()
	default:
		line := s.line
		path := s.key("=")
		if s.table != "" {
			path = s.table + "." + path
		}
		s.note(path, line)
		s.pos++ // the equals sign
		s.value()
	}
}

func (s *scanner) header() {
	line := s.line
	array := strings.HasPrefix(s.text[s.pos:], "[[")
	s.pos++
	if array {
		s.pos++
	}
	path := s.resolve(s.key("]"))
	if array {
		s.arrays[path]++
		path = fmt.Sprintf("%s[%d]", path, s.arrays[path]-1)
	}
	s.table = path
	s.note(path, line)
	s.restOfLine()
}

// resolve puts the index of its latest element behind a name that is an array of tables:
// "runners.cache" is "runners[1].cache" below the second [[runners]].
func (s *scanner) resolve(path string) string {
	head, rest, more := strings.Cut(path, ".")
	if n := s.arrays[head]; n > 0 && more {
		return fmt.Sprintf("%s[%d].%s", head, n-1, rest)
	}
	return path
}

// key reads a dotted key up to the given character.
func (s *scanner) key(end string) string {
	var out strings.Builder
	for s.pos < len(s.text) && !strings.ContainsRune(end+"\n", rune(s.text[s.pos])) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\r':
			s.pos++
		case '"', '\'':
			out.WriteString(s.quoted())
		default:
			out.WriteByte(c)
			s.pos++
		}
	}
	return out.String()
}

// value skips a value: it ends with its line, but for brackets and long strings.
func (s *scanner) value() {
	depth := 0
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '\n':
			if depth == 0 {
				return
			}
			s.line++
			s.pos++
		case '#':
			s.restOfLine()
		case '"', '\'':
			s.quoted()
		case '[', '{':
			depth++
			s.pos++
		case ']', '}':
			depth--
			s.pos++
		default:
			s.pos++
		}
	}
}

// quoted reads a string of any of the four kinds and gives what is between its quotes.
func (s *scanner) quoted() string {
	quote := s.text[s.pos : s.pos+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.pos:], long) {
		quote = long
	}
	s.pos += len(quote)
	start := s.pos
	for s.pos < len(s.text) && !strings.HasPrefix(s.text[s.pos:], quote) {
		if s.text[s.pos] == '\\' && quote[0] == '"' {
			s.pos++
		}
		if s.pos < len(s.text) && s.text[s.pos] == '\n' {
			s.line++
		}
		s.pos++
	}
	inner := s.text[min(start, len(s.text)):min(s.pos, len(s.text))]
	s.pos = min(s.pos+len(quote), len(s.text))
	return inner
}

func (s *scanner) skip(chars string) {
	for s.pos < len(s.text) && strings.IndexByte(chars, s.text[s.pos]) >= 0 {
		if s.text[s.pos] == '\n' {
			s.line++
		}
		s.pos++
	}
}

func (s *scanner) restOfLine() {
	for s.pos < len(s.text) && s.text[s.pos] != '\n' {
		s.pos++
	}
}

func (s *scanner) note(path string, line int) {
	if _, ok := s.found[path]; !ok {
		s.found[path] = line
	}
}
