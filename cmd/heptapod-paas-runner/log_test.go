// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
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
