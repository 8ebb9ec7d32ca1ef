// SPDX-License-Identifier: Apache-2.0

// Package secret holds a string that prints as [redacted] everywhere: fmt with
// any verb, slog, JSON and text encoders. The one way to the value is Reveal,
// so that every use of a secret can be found by searching for that word.
package secret

import (
	"fmt"
	"log/slog"
)

// Redacted is what is printed instead of a secret that is not empty.
const Redacted = "[redacted]"

// String is a token, password or key. The zero value is the empty secret.
// Values can be compared with ==.
type String struct {
	value string
}

// New wraps a value.
func New(value string) String { return String{value: value} }

// Reveal returns the value itself, for the one call that needs it.
func (s String) Reveal() string { return s.value }

// Empty tells whether there is no secret at all.
func (s String) Empty() bool { return s.value == "" }

// String implements fmt.Stringer; it never shows the value.
func (s String) String() string {
	if s.value == "" {
		return ""
	}
	return Redacted
}

// GoString implements fmt.GoStringer.
func (s String) GoString() string { return fmt.Sprintf("secret.String(%q)", s.String()) }

// Format implements fmt.Formatter, so that no verb reaches the field.
func (s String) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(f, "%q", s.String())
		return
	}
	fmt.Fprint(f, s.String())
}

// LogValue implements slog.LogValuer.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler (JSON, TOML, XML).
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: configuration files are
// read straight into secrets.
func (s *String) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}
