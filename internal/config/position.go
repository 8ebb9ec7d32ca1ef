// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strconv"
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
		path = parent(path)
	}
	return 1
}

// child is the path of a key in a table. A key that has path's own characters in it is
// quoted, so that two keys never share a path.
func child(path, key string) string {
	if key == "" || strings.ContainsAny(key, `.[]"`) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// element is the path of an array's element.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// parent is the path of the table around; "" is the file itself.
func parent(path string) string {
	cut, quoted := 0, false
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\':
			i++
		case path[i] == '"':
			quoted = !quoted
		case path[i] == '.' && !quoted:
			cut = i
		}
	}
	return path[:cut]
}

// deepest is how far down positions are looked for; our own keys are near the top.
const deepest = 16

// scan finds the positions in a file that the parser has accepted. Of any other text it
// makes something, and it always ends.
func scan(text string) positions {
	s := scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, found: positions{}, arrays: map[string]int{}}
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
	arrays map[string]int // arrays of tables by path: how many so far
}

func (s *scanner) note(path string, line int) {
	if _, ok := s.found[path]; !ok {
		s.found[path] = line
	}
}

// statement reads one header, key with value, comment or blank.
func (s *scanner) statement() {
	s.blank(" \t\r\n")
	start := s.pos
	switch s.peek() {
	case 0, '#':
		s.restOfLine()
	case '[':
		s.header()
	default:
		s.keyValue(s.table, 0)
	}
	if s.pos == start && s.pos < len(s.text) {
		s.pos++ // not TOML
	}
}

func (s *scanner) header() {
	line := s.line
	s.pos++
	array := s.peek() == '['
	if array {
		s.pos++
	}
	keys := s.keys()
	path := ""
	for i, key := range keys {
		path = child(path, key)
		s.note(path, line)
		n := s.arrays[path]
		if array && i == len(keys)-1 {
			s.arrays[path]++
			n++
		}
		if n > 0 { // what stands below an array is about its latest element
			path = element(path, n-1)
			s.note(path, line)
		}
	}
	s.table = path
	s.restOfLine()
}

func (s *scanner) keyValue(path string, depth int) {
	line := s.line
	for _, key := range s.keys() {
		path = child(path, key)
		s.note(path, line)
	}
	s.blank(" \t")
	if s.peek() == '=' {
		s.pos++
	}
	s.blank(" \t")
	s.value(path, depth)
}

// value goes over a value, and notes the keys of inline tables in it.
func (s *scanner) value(path string, depth int) {
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '{':
		s.list('}', func(int) { s.keyValue(path, depth+1) }, depth)
	case '[':
		s.list(']', func(i int) {
			at := path
			if s.peek() == '{' {
				at = element(path, i)
				s.note(at, s.line)
			}
			s.value(at, depth+1)
		}, depth)
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}#\n", rune(s.text[s.pos])) {
			s.pos++
		}
	}
}

// list goes over what stands between brackets, item by item.
func (s *scanner) list(end byte, item func(i int), depth int) {
	if depth >= deepest {
		s.jump()
		return
	}
	s.pos++
	for i := 0; s.pos < len(s.text); i++ {
		for s.blank(" \t\r\n,"); s.peek() == '#'; s.blank(" \t\r\n,") {
			s.restOfLine()
		}
		if s.peek() == end {
			s.pos++
			return
		}
		start := s.pos
		item(i)
		if s.pos == start {
			s.pos++ // not TOML
		}
	}
}

// jump goes over a list that is too deep to be of interest.
func (s *scanner) jump() {
	for depth := 0; s.pos < len(s.text); {
		switch s.peek() {
		case '"', '\'':
			s.quoted()
			continue
		case '#':
			s.restOfLine()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			s.line++
		}
		s.pos++
		if depth == 0 {
			return
		}
	}
}
