// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The tests start this test program as a child; as such it plays one of these.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		play(os.Args[1])
	}
	os.Exit(m.Run())
}

func play(role string) {
	switch role {
	case "server":
		os.Stdout.WriteString("listening on http://127.0.0.1:1\nand more\n")
		<-time.After(time.Minute) // the test ends it long before
	case "mute":
		os.Stdout.WriteString("hello\n")
		os.Stderr.WriteString("no such thing\n")
		os.Exit(1)
	}
}

func TestChildSaysWhereItListensAndIsStoppedByPid(t *testing.T) {
	t.Parallel()
	c, err := start(t.Context(), t.TempDir(), "server", os.Args[0], "server")
	if err != nil {
		t.Fatal(err)
	}
	url, err := c.url(t.Context())
	if err != nil || url != "http://127.0.0.1:1" {
		t.Errorf("url() = %q, %v", url, err)
	}
	if err := c.ended(); err != nil {
		t.Errorf("ended() while it runs: %v", err)
	}
	if err := c.halt(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("halt() = %v; this child does not handle SIGTERM, so it is an error", err)
	}
	if got := c.tail(1); got != "and more" {
		t.Errorf("tail(1) = %q", got)
	}
}

func TestChildThatFailsIsToldWithItsLog(t *testing.T) {
	t.Parallel()
	c, err := start(t.Context(), t.TempDir(), "mute", os.Args[0], "mute")
	if err != nil {
		t.Fatal(err)
	}
	if url, err := c.url(t.Context()); err == nil {
		t.Errorf("url() = %q of a child that does not say it", url)
	}
	<-c.done
	if err := c.ended(); err == nil || !strings.Contains(err.Error(), "mute ended: exit status 1") {
		t.Errorf("ended() = %v", err)
	}
	if got := c.tail(5); !strings.Contains(got, "no such thing") {
		t.Errorf("tail(5) = %q", got)
	}
	if _, err := start(t.Context(), t.TempDir(), "x", "/does/not/exist"); err == nil {
		t.Error("starting what does not exist is no error")
	}
}

func TestAttributesKeepCtrlCToOurselves(t *testing.T) {
	t.Parallel()
	if a := attributes(); !a.Setpgid {
		t.Errorf("attributes() = %+v, want a process group of its own", *a)
	}
}
