// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"os/exec"
	"testing"
)

// Gateway is the host's address on the default bridge.
func (e *Engine) Gateway(t testing.TB) string {
	t.Helper()
	var gateway string
	err := e.inside(func() error {
		bridge, err := net.InterfaceByName("docker0")
		if err != nil {
			return err
		}
		addresses, err := bridge.Addrs()
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil {
				gateway = ip.IP.String()
			}
		}
		return nil
	})
	if err != nil || gateway == "" {
		t.Fatalf("find the host's address on the default bridge: %q, %v", gateway, err)
	}
	return gateway
}

// Listen listens on the host's address on the default bridge, which containers on
// every network reach, and nobody outside the engine's own network namespace.
func (e *Engine) Listen(t testing.TB) net.Listener {
	t.Helper()
	return e.ListenOn(t, net.JoinHostPort(e.Gateway(t), "0"))
}

// ListenOn listens on an address of the engine's host.
func (e *Engine) ListenOn(t testing.TB, address string) net.Listener {
	t.Helper()
	var l net.Listener
	err := e.inside(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	})
	if err != nil {
		t.Fatalf("listen on %s: %v", address, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// ListenPackets is Listen for UDP, on a port of choice.
func (e *Engine) ListenPackets(t testing.TB, port string) net.PacketConn {
	t.Helper()
	address := net.JoinHostPort(e.Gateway(t), port)
	var l net.PacketConn
	err := e.inside(func() (err error) {
		l, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		return err
	})
	if err != nil {
		t.Fatalf("listen for packets on %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Inside starts a program in the engine's network namespace, where 127.0.0.1 is the
// engine's host. Who calls it waits for the program's end.
func (e *Engine) Inside(cmd *exec.Cmd) error { return e.inside(cmd.Start) }

// Dial connects to an address as the engine's host sees it. The address is numeric.
func (e *Engine) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = e.inside(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
