// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

const (
	tailLines = 1000
	tailWidth = 16 << 10
)

// tail is a writer that keeps the last lines of what it is given.
type tail struct {
	mu      sync.Mutex
	lines   []logLine
	first   int    // number of lines[0]
	partial []byte // a line without its end yet
	of      *deployment
	more    chan struct{}
}

// logLine is one line of output, or of what the platform says about a deployment.
type logLine struct {
	at       time.Time
	text     string
	of       *deployment
	platform bool
}

// belongsTo says whose output follows.
func (t *tail) belongsTo(d *deployment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of = d
}

// say adds a line of the platform's own.
func (t *tail) say(d *deployment, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(logLine{now(), text, d, true})
}

// Write implements io.Writer. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial = append(t.partial, p...)
	for {
		line, rest, ended := bytes.Cut(t.partial, []byte{'\n'})
		if !ended && len(t.partial) <= tailWidth {
			return len(p), nil
		}
		if !ended {
			line, rest = t.partial[:tailWidth], t.partial[tailWidth:]
		}
		t.add(logLine{now(), string(line), t.of, false})
		t.partial = bytes.Clone(rest)
	}
}

func (t *tail) add(line logLine) {
	t.lines = append(t.lines, line)
	if extra := len(t.lines) - tailLines; extra > 0 {
		t.lines = append(t.lines[:0], t.lines[extra:]...)
		t.first += extra
	}
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// from gives the lines from a number on, the number of the next one, and a
// channel that is closed when there is more.
func (t *tail) from(n int) ([]logLine, int, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more == nil {
		t.more = make(chan struct{})
	}
	skip := min(max(n-t.first, 0), len(t.lines))
	return append([]logLine(nil), t.lines[skip:]...), t.first + len(t.lines), t.more
}

// String gives what is kept of what was printed.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines {
		if !l.platform {
			b.WriteString(l.text + "\n")
		}
	}
	b.Write(t.partial)
	return b.String()
}
