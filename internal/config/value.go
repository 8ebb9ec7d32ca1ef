// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
)

// The largest values that make sense; more is a mistake.
const (
	mostCount   = 1_000_000_000
	mostSeconds = 1e8 // three years
)

// text takes a string. A key that has a default is left out, not emptied.
func (r *reader) text(name string) string { return r.textOf(name, Text) }

func (r *reader) textOf(name string, kind Kind) string {
	at, ok := r.take(name, kind)
	fallback, _ := at.key.Default.(string)
	if !ok {
		return fallback
	}
	s, ok := r.stringOf(at)
	switch {
	case !ok:
	case strings.ContainsFunc(s, unicode.IsControl):
		r.bad(at.name, "holds a line break or another control character")
	case strings.TrimSpace(s) != "":
		return s
	case at.key.Required:
		r.bad(at.name, "empty; it is required")
	case fallback != "":
		r.bad(at.name, "empty; without this key it is %s", fallback)
	}
	return fallback
}

// stringOf gives a string value with ${NAME} in it replaced from the environment.
func (r *reader) stringOf(at found) (string, bool) {
	s, ok := at.value.(string)
	if !ok {
		r.bad(at.name, "found %s, want a string%s", what(at.value), inQuotes(at.value))
		return "", false
	}
	return r.expand(at.name, s)
}

// inQuotes shows how a plain value is written as a string.
func inQuotes(v any) string {
	switch v.(type) {
	case bool, int64, float64:
		return fmt.Sprintf(`: "%v"`, v)
	}
	return ""
}

// unquoted says how a text in the place of a number is written.
func unquoted(v any) string {
	if _, ok := v.(string); ok {
		return ", without quotes"
	}
	return ""
}

// list takes a list of texts; one that is there and empty would allow nothing.
func (r *reader) list(name string) []string {
	at, ok := r.take(name, List)
	if !ok {
		return nil
	}
	items, ok := at.value.([]any)
	if !ok {
		r.bad(at.name, "found %s, want a list of texts, such as [\"XS\", \"M\"]", what(at.value))
		return nil
	}
	if len(items) == 0 {
		r.bad(at.name, "found an empty list; remove it to allow all")
	}
	var out []string
	for _, item := range items {
		s, isText := item.(string)
		if isText {
			s, isText = r.expand(at.name, s)
		}
		if !isText || s == "" || strings.ContainsFunc(s, unicode.IsControl) {
			r.bad(at.name, "found %s in the list, want texts", what(item))
			return nil
		}
		out = append(out, s)
	}
	return out
}

// choice takes a string out of a list, in any case. The extra words are pairs: a word
// that is accepted too, and which one it stands for.
func (r *reader) choice(name string, extra ...string) string {
	at, ok := r.take(name, Choice)
	fallback, _ := at.key.Default.(string)
	if !ok {
		return fallback
	}
	s, ok := r.stringOf(at)
	if !ok {
		return fallback
	}
	s = strings.ToLower(s)
	for i := 0; i+1 < len(extra); i += 2 {
		if s == extra[i] {
			s = extra[i+1]
		}
	}
	if slices.Contains(at.key.Choices, s) {
		return s
	}
	r.bad(at.name, "found %q, want one of: %s%s", at.value, strings.Join(at.key.Choices, ", "), hint(s, at.key.Choices))
	return fallback
}

// url takes an http or https URL.
func (r *reader) url(name string) string {
	s := r.textOf(name, URL)
	if s == "" {
		return ""
	}
	raw, _ := r.table[name].(string)
	if why := wrongURL(name, s, raw); why != "" {
		r.bad(name, "%s", why)
		return ""
	}
	return s
}

// wrongURL says what is wrong with a URL, which is shown as it was written; "" = nothing.
func wrongURL(name, s, written string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "http" && u.Scheme != "https", u.Port() != "" && !isPort(u.Port()):
		return fmt.Sprintf("found %s, want a URL such as %s", within(written), exampleOf(name))
	case u.User != nil:
		return "found a URL with a user or password in it, want one without: it is logged, and given to instances"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(written, "#"):
		return fmt.Sprintf("found %s, want a URL without anything behind ? or #", within(written))
	case name == "url" && strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/api/v4"):
		return fmt.Sprintf("found %s, want it without /api/v4, which is added to it", within(written))
	}
	return ""
}

// CheckURL says what is wrong with the URL of a coordinator.
func CheckURL(s string) error {
	if why := wrongURL("url", s, s); why != "" {
		return errors.New(why)
	}
	_, err := fleet.NormalizeURL(s)
	return err
}

// image takes a reference to an image that instances are built from.
func (r *reader) image(name string) string {
	s := r.text(name)
	if s == "" || s == find(r.section, name).Default {
		return s
	}
	if fleet.CheckImage(s) != nil {
		raw, _ := r.table[name].(string)
		r.bad(name, "found %s, want an image such as registry.example.com/group/image:1.0", within(raw))
	}
	return s
}

// exampleOf is a good value of a key that holds a URL.
func exampleOf(name string) string {
	switch name {
	case "cc_api_url":
		return DefaultAPIURL
	case "paas_advertise_url":
		return "http://runner.example.com:9252"
	}
	return "https://gitlab.example.com"
}

// isPort tells whether a text is the number of a port that can be asked.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// count takes a whole number; 4.0 is one too.
func (r *reader) count(name string) int {
	at, ok := r.take(name, Count)
	fallback, _ := at.key.Default.(int)
	if !ok {
		return fallback
	}
	var n float64
	switch v := at.value.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		n = math.NaN()
	}
	if at.key.Cut {
		n = math.Trunc(n)
	}
	if n != math.Trunc(n) || n < at.key.Least || n > mostCount {
		r.bad(at.name, "found %s, want a whole number from %v to %d%s", what(at.value), at.key.Least, mostCount, unquoted(at.value))
		return fallback
	}
	return int(n)
}

// seconds takes a duration: a number of seconds, whole or not.
func (r *reader) seconds(name string) time.Duration {
	at, ok := r.take(name, Seconds)
	fallback, _ := at.key.Default.(time.Duration)
	if !ok {
		return fallback
	}
	n := math.NaN()
	switch v := at.value.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	}
	if math.IsNaN(n) || n < at.key.Least || n > mostSeconds {
		r.bad(at.name, "found %s, want a number of seconds from %v to %.0f%s", what(at.value), at.key.Least, mostSeconds, unquoted(at.value))
		return fallback
	}
	return time.Duration(n * float64(time.Second))
}

// yes takes true or false.
func (r *reader) yes(name string) bool {
	at, ok := r.take(name, Switch)
	fallback, _ := at.key.Default.(bool)
	if !ok {
		return fallback
	}
	b, ok := at.value.(bool)
	if !ok {
		r.bad(at.name, "found %s, want true or false, without quotes", what(at.value))
		return fallback
	}
	return b
}
