// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"heptapod-paas-runner/internal/notify"
)

// env is an environment of these variables.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// listen opens a socket as the service manager does.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestOneMessageIsOneDatagram(t *testing.T) {
	t.Parallel()
	addresses := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		addresses = append(addresses, "@heptapod-paas-runner/test/"+strconv.Itoa(os.Getpid()))
	}
	for _, address := range addresses {
		theirs := listen(t, address)
		ours, err := notify.Open(t.Context(), env("NOTIFY_SOCKET", address))
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Send(notify.Ready, notify.Status("two\nlines"), notify.Monotonic(1500*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1000)
		n, err := theirs.Read(got)
		if err != nil {
			t.Fatal(err)
		}
		if want := "READY=1\nSTATUS=two lines\nMONOTONIC_USEC=1500000"; string(got[:n]) != want {
			t.Errorf("%s got %q, want %q", address, got[:n], want)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		_ = theirs.Close()
	}
}

func TestWithoutASocketNothingIsDone(t *testing.T) {
	t.Parallel()
	s, err := notify.Open(t.Context(), env())
	if err != nil || s != nil {
		t.Fatalf("Open = %v, %v", s, err)
	}
	if err := s.Send(notify.Ready); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestABadSocketIsAnError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"vsock:2:1234", "relative", filepath.Join(t.TempDir(), "nobody")} {
		if s, err := notify.Open(t.Context(), env("NOTIFY_SOCKET", address)); err == nil {
			t.Errorf("Open(%q) = %v, want an error", address, s)
		}
	}
}

func TestALostServiceManagerIsAnError(t *testing.T) {
	t.Parallel()
	address := filepath.Join(t.TempDir(), "notify")
	theirs := listen(t, address)
	ours, err := notify.Open(t.Context(), env("NOTIFY_SOCKET", address))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	_ = theirs.Close()
	if err := ours.Send(notify.Alive); err == nil {
		t.Error("nobody listens, and nothing is said")
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		bad       bool
	}{
		{"", "", 0, false},
		{"30000000", "", 30 * time.Second, false},
		{"30000000", "42", 30 * time.Second, false},
		{"30000000", "43", 0, false}, // meant for another process
		{"half", "", 0, true},
		{"0", "", 0, true},
		{"-5", "42", 0, true},
		{"99999999999999999999", "", 0, true},
	} {
		got, err := notify.Watchdog(env("WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid), 42)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("Watchdog(%q, %q) = %v, %v", c.usec, c.pid, got, err)
		}
	}
}
