// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"encoding/json"
	"fmt"
	"math"
)

// reader takes fields out of one object and keeps the first thing that is wrong.
type reader struct {
	path   string // of the object
	fields map[string]json.RawMessage
	err    error
}

func (r *reader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) bad(name, want string) {
	found := "nothing"
	if raw := r.fields[name]; len(raw) > 0 {
		found = kind(raw)
	}
	r.note(&fieldError{r.path + "." + name, fmt.Sprintf("found %s, want %s", found, want)})
}

// badNumber is bad for what is an id, an offset or a weight: a number can be shown there.
func (r *reader) badNumber(name, want string) {
	raw := r.fields[name]
	if kind(raw) != "a number" {
		r.bad(name, want)
		return
	}
	r.note(&fieldError{r.path + "." + name, fmt.Sprintf("found %.30s, want %s", raw, want)})
}

// text takes a name, an id or a token.
func (r *reader) text(name string) string {
	var s string
	if err := json.Unmarshal(r.fields[name], &s); err != nil || !plain(s) {
		r.bad(name, "a text without blanks")
		return ""
	}
	return s
}

// count takes a whole number; one that is not required may be missing.
func (r *reader) count(name string, required bool) int64 {
	if !required && null(r.fields[name]) {
		return 0
	}
	var n int64
	if err := json.Unmarshal(r.fields[name], &n); err != nil || null(r.fields[name]) || n < 0 || required && n == 0 {
		least := 0
		if required {
			least = 1
		}
		r.badNumber(name, fmt.Sprintf("a whole number, at least %d", least))
		return 0
	}
	return n
}

// weight takes a weight; 0 when it is missing.
func (r *reader) weight(name string) float64 {
	if null(r.fields[name]) {
		return 0
	}
	var n float64
	if err := json.Unmarshal(r.fields[name], &n); err != nil || math.IsNaN(n) || n < 0 || n > mostWeight {
		r.badNumber(name, fmt.Sprintf("a weight, a number from 0 to %d", int(mostWeight)))
		return 0
	}
	return n
}

// yes takes true or false; missing is false.
func (r *reader) yes(name string) bool {
	if null(r.fields[name]) {
		return false
	}
	var b bool
	if err := json.Unmarshal(r.fields[name], &b); err != nil {
		r.bad(name, "true or false")
	}
	return b
}
