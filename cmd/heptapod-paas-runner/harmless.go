// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
)

// harmless writes characters that a terminal obeys, or that are not seen, as JSON would:
// much of what is shown comes from jobs, coordinators and clouds. Lines and tabs stay.
func harmless(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n', r == '\t', unicode.IsPrint(r), unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// cell is a text as it stands in one line, or one cell, of what is shown.
func cell(text string) string {
	return harmless(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " "))
}

// cells is cell for a list.
func cells(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = cell(text)
	}
	return out
}

// harmlessWriter makes what is written harmless; each Write holds whole characters.
type harmlessWriter struct{ to io.Writer }

// Write implements io.Writer.
func (w harmlessWriter) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, harmless(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// harmlessAttr is for a handler of logs that passes escape sequences on.
func harmlessAttr(_ []string, a slog.Attr) slog.Attr {
	switch value := a.Value.Resolve(); value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, harmless(value.String()))
	case slog.KindAny:
		if value.Any() != nil && a.Key != slog.LevelKey {
			return slog.String(a.Key, harmless(fmt.Sprint(value.Any())))
		}
	}
	return a
}
