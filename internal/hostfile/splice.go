// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// span is where a JSON value stands in a document.
type span struct{ start, end int }

// object is where the values of an object's members stand, by name; of members of one
// name the last counts, as for most readers.
type object map[string]span

// value gives the bytes of a member, "null" when there is none.
func (o object) value(document []byte, name string) []byte {
	at, ok := o[name]
	if !ok {
		return []byte("null")
	}
	return document[at.start:at.end]
}

var errNoObject = errors.New("not an object")

// members finds the members of a document that is one object.
func members(document []byte) (object, error) {
	if !json.Valid(document) {
		var anything any
		return nil, json.Unmarshal(document, &anything) // says what is wrong
	}
	trimmed := bytes.TrimLeft(document, " \t\r\n")
	return membersIn(document, span{len(document) - len(trimmed), len(document)})
}

// membersIn finds the members of an object that stands in a valid document.
func membersIn(document []byte, at span) (object, error) {
	d := json.NewDecoder(bytes.NewReader(document[at.start:at.end]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	out := object{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		where, err := next(d, at.start)
		if err != nil {
			return nil, err
		}
		if key, ok := name.(string); ok {
			out[key] = where
		}
	}
	return out, nil
}

// elements finds the elements of an array that stands in a valid document; none for
// anything else.
func elements(document []byte, at span) []span {
	d := json.NewDecoder(bytes.NewReader(document[at.start:at.end]))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	var out []span
	for d.More() {
		where, err := next(d, at.start)
		if err != nil {
			return nil
		}
		out = append(out, where)
	}
	return out
}

// next reads one value and tells where it stood.
func next(d *json.Decoder, offset int) (span, error) {
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return span{}, err
	}
	end := offset + int(d.InputOffset())
	return span{end - len(value), end}, nil
}

// edit puts other bytes in the place of a span.
type edit struct {
	at  span
	new []byte
}

// splice applies edits that do not overlap; the rest stays byte for byte.
func splice(document []byte, edits []edit) []byte {
	if len(edits) == 0 {
		return document
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.start - b.at.start })
	var out bytes.Buffer
	done := 0
	for _, e := range edits {
		out.Write(document[done:e.at.start])
		out.Write(e.new)
		done = e.at.end
	}
	out.Write(document[done:])
	return out.Bytes()
}
