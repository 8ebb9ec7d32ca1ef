// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// level is a --log-level. Besides our own four names it takes those of the Python
// program, in any case.
type level string

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *level) UnmarshalText(text []byte) error {
	name := strings.ToLower(string(text))
	switch name {
	case "warning":
		name = "warn"
	case "critical", "fatal":
		name = "error"
	}
	var known slog.Level
	if err := known.UnmarshalText([]byte(name)); err != nil || strings.ContainsAny(name, "+-") {
		return fmt.Errorf("%q is not one of debug, info, warn, error", text)
	}
	*l = level(name)
	return nil
}

// format is a --log-format.
type format string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *format) UnmarshalText(text []byte) error {
	name := strings.ToLower(string(text))
	if name != "text" && name != "json" {
		return fmt.Errorf("%q is not one of text, json", text)
	}
	*f = format(name)
	return nil
}

// logger makes the log of one command. The flags win over the configuration, whose
// values may be empty.
func (c *cli) logger(w io.Writer, configuredLevel, configuredFormat string) *slog.Logger {
	var least slog.Level // Info when the text is none
	_ = least.UnmarshalText([]byte(cmp.Or(string(c.LogLevel), configuredLevel)))
	if cmp.Or(string(c.LogFormat), configuredFormat) == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: plainDuration}))
	}
	if terminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: time.TimeOnly}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: least}))
}

// plainDuration writes durations as people do, "1.5s", and not as nanoseconds.
func plainDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().Round(time.Millisecond).String())
	}
	return a
}

// terminal tells whether people read this stream as it is written.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
