// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"heptapod-paas-runner/internal/secret"
)

// Bounds of what is believed: beyond them a file is damaged.
const (
	mostItems  = 100_000
	mostWeight = 1e6
	longest    = 1024 // of a name, a token or an id
)

// Parse reads a state file. Fields that it does not know are left alone. The error says
// where the file is not as the Python program writes it; no secret is in it.
func Parse(raw []byte) (*State, error) {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if err := whole(raw); err != nil {
		return nil, err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(raw, &top); err != nil || top == nil {
		return nil, fmt.Errorf("found %s, want an object with the keys launched and pending", kind(raw))
	}
	for _, key := range []string{"launched", "pending"} {
		if _, there := top[key]; !there {
			return nil, fmt.Errorf("found an object with the keys %s: %s is missing, so the Python program has not written it", list(top), key)
		}
	}
	var s State
	var errs []error
	s.Launched, errs = handles(top, "launched", errs)
	s.ToDecommission, errs = handles(top, "to_decommission", errs)
	s.Standby, errs = handles(top, "standby_resources", errs)
	s.Pending, errs = pendings(top, errs)
	if len(errs) > 5 {
		errs = append(errs[:5], fmt.Errorf("and %d more", len(errs)-5))
	}
	s.Generation, s.Unread = generation(top), unread(top)
	return &s, errors.Join(errs...)
}

// whole tells whether the file is one JSON value to its end: the Python program writes
// it in place, so that it can be cut.
func whole(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	var value json.RawMessage
	err := decoder.Decode(&value)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("something stands after the end of the JSON, at byte %d", decoder.InputOffset())
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the JSON is cut off after %d bytes", len(raw))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(raw[:min(int(e.Offset), len(raw))], []byte("\n"))
		return fmt.Errorf("not JSON at byte %d (line %d)", e.Offset, line)
	}
	return errors.New("not JSON")
}

// generation tells which releases write such a file.
func generation(top map[string]json.RawMessage) string {
	if _, there := top["standby_resources"]; there {
		return "0.8 or newer"
	}
	if _, there := top["to_decommission"]; there {
		return "0.6"
	}
	return "0.5"
}

// unread lists the keys that no known release writes. A list of jobs may stand behind one.
func unread(top map[string]json.RawMessage) []string {
	rest := maps.Clone(top)
	for _, known := range []string{"launched", "pending", "to_decommission", "standby_resources"} {
		delete(rest, known)
	}
	if len(rest) == 0 {
		return nil
	}
	return strings.Split(list(rest), ", ")
}

func handles(top map[string]json.RawMessage, key string, errs []error) ([]Handle, []error) {
	items, err := listOf(top[key])
	if err != nil {
		return nil, append(errs, fmt.Errorf("%s: %w", key, err))
	}
	var out []Handle
	for i, item := range items {
		h, err := handle(item)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]%w", key, i, err))
		}
		out = append(out, h)
	}
	return out, errs
}

// pendings are pairs of a handle and the job as it was granted.
func pendings(top map[string]json.RawMessage, errs []error) ([]Pending, []error) {
	items, err := listOf(top["pending"])
	if err != nil {
		return nil, append(errs, fmt.Errorf("pending: %w", err))
	}
	var out []Pending
	for i, item := range items {
		pair, err := listOf(item)
		if err != nil || len(pair) < 1 || len(pair) > 2 {
			errs = append(errs, fmt.Errorf("pending[%d]: found %s, want a pair of a handle and a job", i, kind(item)))
			continue
		}
		h, err := handle(pair[0])
		if err != nil {
			errs = append(errs, fmt.Errorf("pending[%d][0]%w", i, err))
		}
		p := Pending{Handle: h}
		if len(pair) == 2 {
			p.Payload = payload(pair[1])
		}
		out = append(out, p)
	}
	return out, errs
}

// payload is the job's JSON, which may itself stand in a text; nil when it is none.
func payload(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if kind(raw) != "an object" || !json.Valid(raw) {
		return nil
	}
	return raw
}

// fieldError is what is wrong with a field, by its path.
type fieldError struct{ path, text string }

func (e *fieldError) Error() string { return e.path + ": " + e.text }

func handle(raw json.RawMessage) (Handle, error) {
	fields, err := object(raw)
	if err != nil {
		return Handle{}, err
	}
	r := reader{fields: fields}
	h := Handle{
		RunnerName: r.text("runner_name"), JobID: r.count("job_id", true), Token: secret.New(r.text("token")),
		TraceOffset: r.count("trace_offset", false), ExpectedWeight: r.weight("expected_weight"),
	}
	if raw := fields["paas_resource"]; !null(raw) {
		resource, err := resourceOf(raw)
		r.note(err)
		h.Resource = resource
	}
	return h, r.err
}

// resourceOf tells the kinds of resource apart by their fields.
func resourceOf(raw json.RawMessage) (*Resource, error) {
	const at = ".paas_resource"
	var image string
	if json.Unmarshal(raw, &image) == nil {
		if !plain(image) {
			return nil, &fieldError{at, "found a text that names no image"}
		}
		return &Resource{Kind: KindLocal, ID: image, Launched: true}, nil
	}
	fields, err := object(raw)
	if err != nil {
		return nil, &fieldError{at, "found " + kind(raw) + ", want an object or a text"}
	}
	r := reader{path: at, fields: fields}
	if _, there := fields["id"]; !there && !null(fields["app_id"]) {
		return &Resource{Kind: KindTest, ID: r.text("app_id"), Launched: true}, r.err
	}
	out := &Resource{Kind: KindClever, ID: r.text("id"), Weight: r.weight("weight"), Launched: r.yes("launched")}
	if !null(fields["netloc"]) || !null(fields["paas_token"]) {
		out.Kind = KindService
	}
	if !null(fields["gitlab_namespace"]) {
		out.Namespace = r.text("gitlab_namespace")
	}
	return out, r.err
}

func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return nil, &fieldError{"", "found " + kind(raw) + ", want an object"}
	}
	return fields, nil
}

func listOf(raw json.RawMessage) ([]json.RawMessage, error) {
	if null(raw) {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("found %s, want a list", kind(raw))
	}
	if len(items) > mostItems {
		return nil, fmt.Errorf("found a list of %d, more than any program kept", len(items))
	}
	return items, nil
}

func null(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// plain tells whether a text can be a name, an id or a token.
func plain(s string) bool {
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) })
}

// kind describes a JSON value without showing it.
func kind(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// list names the keys of an object, as far as they tell what it is.
func list(fields map[string]json.RawMessage) string {
	names := slices.Sorted(maps.Keys(fields))
	if len(names) == 0 {
		return "(none)"
	}
	var out []string
	for _, name := range names[:min(8, len(names))] {
		out = append(out, fmt.Sprintf("%.30q", name))
	}
	if len(names) > 8 {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}
