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
	"golang.org/x/sys/unix"
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
		return slog.New(slog.NewJSONHandler(harmlessWriter{w}, &slog.HandlerOptions{Level: least, ReplaceAttr: plainDuration}))
	}
	if terminal(w) {
		return slog.New(coloured(w, least))
	}
	if journal(w, os.Getenv("JOURNAL_STREAM")) {
		return slog.New(slog.NewTextHandler(priorities{harmlessWriter{w}}, &slog.HandlerOptions{Level: least, ReplaceAttr: timeless}))
	}
	return slog.New(slog.NewTextHandler(harmlessWriter{w}, &slog.HandlerOptions{Level: least})) // which leaves DEL alone
}

// coloured is the log for people at a terminal.
func coloured(w io.Writer, least slog.Level) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: time.TimeOnly, ReplaceAttr: harmlessAttr})
}

// priorities begins each line with the priority that systemd's journal sorts by, as
// sd-daemon(3) says.
type priorities struct{ w io.Writer }

// Write takes one line that begins with its level, as the text handler gives it.
func (p priorities) Write(line []byte) (int, error) {
	priority := "<6>"
	for level, number := range map[string]string{"DEBUG": "<7>", "WARN": "<4>", "ERROR": "<3>"} {
		if strings.HasPrefix(string(line), "level="+level) {
			priority = number
		}
	}
	n, err := p.w.Write(append([]byte(priority), line...))
	return max(0, n-len(priority)), err
}

// timeless leaves the time out: the journal has its own.
func timeless(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Attr{}
	}
	return a
}

// journal tells whether this stream is the one that systemd says leads to its journal,
// "DEVICE:INODE"; what is redirected from there is not.
func journal(w io.Writer, stream string) bool {
	file, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	var is unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &is); err != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", is.Dev, is.Ino)
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
