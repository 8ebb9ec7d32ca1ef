// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// errNotObject: the text is JSON, but not one object.
var errNotObject = errors.New("not a JSON object")

// editJSON gives back the text with the scalars at the named places replaced and
// every other byte as it was. A place is the keys that lead to it, joined with
// dots; replace is called with the old value's text and gives the new one. Keys are
// matched without regard to case and every occurrence is edited, since that is how
// the sub-runner's decoder finds them.
func editJSON(text []byte, places []string, replace func(place, old string) string) ([]byte, error) {
	e := editor{decoder: json.NewDecoder(bytes.NewReader(text)), text: text, places: places, replace: replace}
	e.decoder.UseNumber()
	token, err := e.decoder.Token()
	if err != nil {
		return nil, err
	}
	if token != json.Delim('{') {
		return nil, errNotObject
	}
	if err := e.object("", 1); err != nil {
		return nil, err
	}
	if _, err := e.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	e.out.Write(text[e.copied:])
	return e.out.Bytes(), nil
}

type editor struct {
	decoder *json.Decoder
	text    []byte
	places  []string
	replace func(place, old string) string
	out     bytes.Buffer
	copied  int64 // so much of text has been taken over
}

// deepest is how far into nested values the editor follows; the places are never
// deeper, and what is below is skipped by count.
const deepest = 4

func (e *editor) object(prefix string, depth int) error {
	for e.decoder.More() {
		key, err := e.decoder.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return errNotObject
		}
		if err := e.value(prefix+strings.ToLower(name), depth); err != nil {
			return err
		}
	}
	_, err := e.decoder.Token() // the closing brace
	return err
}

func (e *editor) value(place string, depth int) error {
	before := e.decoder.InputOffset()
	token, err := e.decoder.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		if depth < deepest {
			return e.object(place+".", depth+1)
		}
		return e.skip()
	case json.Delim('['):
		return e.skip()
	}
	for _, p := range e.places {
		if p == place {
			e.put(p, before, e.decoder.InputOffset())
		}
	}
	return nil
}

// put replaces the scalar that ends at end; between before and it are only the
// colon and blanks.
func (e *editor) put(place string, before, end int64) {
	start := before + int64(bytes.IndexFunc(e.text[before:end], func(r rune) bool { return !strings.ContainsRune(": \t\r\n", r) }))
	e.out.Write(e.text[e.copied:start])
	e.out.WriteString(e.replace(place, string(e.text[start:end])))
	e.copied = end
}

// skip reads to the end of the object or array just opened.
func (e *editor) skip() error {
	for depth := 1; depth > 0; {
		token, err := e.decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// cutTimeout gives the payload with runner_info.timeout cut to what is left, in
// whole seconds. A shorter one stays as it is, and so does all else.
func cutTimeout(payload []byte, left time.Duration) ([]byte, error) {
	out, err := editJSON(payload, []string{"runner_info.timeout"}, func(_, old string) string {
		seconds, err := strconv.ParseInt(old, 10, 64)
		if err != nil || seconds <= int64(left/time.Second) {
			return old
		}
		return strconv.FormatInt(max(1, int64(left/time.Second)), 10)
	})
	if err != nil {
		return nil, fmt.Errorf("cut the job's timeout: %w", err)
	}
	return out, nil
}
