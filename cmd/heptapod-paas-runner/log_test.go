// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line          cli
		level, format string // of the configuration
		want          []string
		lacks         string
	}{
		"nothing said":       {cli{}, "", "", []string{"level=INFO msg=told", "took=1.5s"}, "detail"},
		"configuration":      {cli{}, "debug", "json", []string{`"msg":"detail"`, `"took":"1.5s"`}, "level="},
		"flags win":          {cli{LogLevel: "warn", LogFormat: "text"}, "debug", "json", []string{"level=WARN msg=odd"}, "told"},
		"nonsense is info":   {cli{}, "loud", "", []string{"told"}, "detail"},
		"no colour in files": {cli{LogLevel: "debug"}, "", "", []string{"level=DEBUG"}, "\x1b"},
	} {
		var out strings.Builder
		log := c.line.logger(&out, c.level, c.format)
		log.Debug("detail")
		log.Info("told", "took", 1500*time.Millisecond)
		log.Warn("odd")
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the log lacks %q:\n%s", name, want, out.String())
			}
		}
		if strings.Contains(out.String(), c.lacks) {
			t.Errorf("%s: the log has %q:\n%s", name, c.lacks, out.String())
		}
	}
}

// What systemd's journal is given has priorities instead of times; a file beside it
// has not.
func TestLoggerOfTheJournal(t *testing.T) {
	dir := t.TempDir()
	lines := func(name string, line cli) string {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var is syscall.Stat_t
		if err := syscall.Fstat(int(file.Fd()), &is); err != nil {
			t.Fatal(err)
		}
		if name != "other" {
			t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", is.Dev, is.Ino))
		}
		log := line.logger(file, "debug", "")
		log.Debug("looked", "time", "ours")
		log.Info("told", "text", "two\nlines")
		log.Warn("odd")
		log.Error("bad")
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := "<7>level=DEBUG msg=looked\n<6>level=INFO msg=told text=\"two\\nlines\"\n<4>level=WARN msg=odd\n<3>level=ERROR msg=bad\n"
	want = strings.Replace(want, "msg=looked", "msg=looked time=ours", 1)
	if got := lines("journal", cli{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := lines("other", cli{}); !strings.HasPrefix(got, "time=") {
		t.Errorf("a file that is not the journal got\n%s", got)
	}
	if got := lines("json", cli{LogFormat: "json"}); !strings.HasPrefix(got, `{"time":`) {
		t.Errorf("JSON became\n%s", got)
	}
}
