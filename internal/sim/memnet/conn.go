// SPDX-License-Identifier: Apache-2.0

package memnet

import (
	"net"
	"sync"
)

// closer is what a client owns: its ends of connections, and its listeners.
type closer interface{ Close() error }

// conn is one end of a connection.
type conn struct {
	net.Conn
	local, remote net.Addr
	owner         *Client // nil when nobody can be cut
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Close implements net.Conn.
func (c *conn) Close() error {
	c.owner.disown(c)
	return c.Conn.Close()
}

// listener implements net.Listener.
type listener struct {
	network *Network
	addr    string
	owner   *Client
	arrived chan net.Conn
	done    chan struct{}
	once    sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return address(l.addr) }

// Close implements net.Listener. Connections that were accepted live on.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		if l.network.listeners[l.addr] == l {
			delete(l.network.listeners, l.addr)
		}
		l.network.mu.Unlock()
		l.owner.disown(l)
		close(l.done)
	})
	return nil
}
