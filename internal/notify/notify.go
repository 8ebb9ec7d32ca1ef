// SPDX-License-Identifier: Apache-2.0

// Package notify tells the service manager (systemd) how the service is: ready,
// reloading, stopping, alive. It is not a log, and it takes no decision. The one idea:
// one datagram per message to the socket that the environment names, and where none is
// named every call does nothing.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// The messages of the protocol.
const (
	Ready     = "READY=1"
	Reloading = "RELOADING=1"
	Stopping  = "STOPPING=1"
	Alive     = "WATCHDOG=1"
)

const sendTimeout = 2 * time.Second

// Socket is the way to the service manager; a nil one leads nowhere.
type Socket struct {
	conn net.Conn
}

// Open opens the socket that NOTIFY_SOCKET names, a path or an abstract one ("@name");
// nil when it names none. Close it when done.
func Open(ctx context.Context, env func(string) string) (*Socket, error) {
	address := env("NOTIFY_SOCKET")
	if address == "" {
		return nil, nil //nolint:nilnil // nobody wants to be told
	}
	if address[0] != '/' && address[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET %q is neither a path nor an abstract socket", address)
	}
	conn, err := (&net.Dialer{Timeout: sendTimeout}).DialContext(ctx, "unixgram", address)
	if err != nil {
		return nil, fmt.Errorf("open NOTIFY_SOCKET: %w", err)
	}
	return &Socket{conn}, nil
}

// Send sends lines as one message.
func (s *Socket) Send(lines ...string) error {
	if s == nil {
		return nil
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = s.conn.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", lines[0], err)
	}
	return nil
}

// Close closes the socket.
func (s *Socket) Close() error {
	if s == nil {
		return nil
	}
	return s.conn.Close()
}

// Status is the message that `systemctl status` shows; it is one line whatever the text.
func Status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// Monotonic is the time that must come with Reloading, so that the service manager can
// tell an old message from a new one.
func Monotonic(sinceBoot time.Duration) string {
	return "MONOTONIC_USEC=" + strconv.FormatInt(sinceBoot.Microseconds(), 10)
}

// Watchdog is how long the service manager waits for Alive before it takes the process
// for dead; 0 when it does not wait, or waits for another process.
func Watchdog(env func(string) string, pid int) (time.Duration, error) {
	text := env("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if theirs := env("WATCHDOG_PID"); theirs != "" && theirs != strconv.Itoa(pid) {
		return 0, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && (usec <= 0 || usec > int64(24*time.Hour/time.Microsecond)*365):
		err = errors.New("out of range")
	case errors.Is(err, strconv.ErrSyntax):
		err = errors.New("not a number")
	}
	if err != nil {
		return 0, fmt.Errorf("WATCHDOG_USEC %q: %w", text, err)
	}
	return time.Duration(usec) * time.Microsecond, nil
}
