// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"context"
	"io"
	"net"
	"sync"
)

// gate is a port by which the service reaches the engine, and nobody else does.
type gate struct {
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

const gateAddress = "127.0.0.1:2375"

// open lets the service reach the engine, and gives the host that it is told.
func (g *gate) open(n *town) string {
	l := n.ListenOn(n.t, gateAddress)
	g.mu.Lock()
	g.listener = l
	g.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			there, err := (&net.Dialer{}).DialContext(context.Background(), "unix", n.Socket)
			if err != nil {
				conn.Close()
				continue
			}
			g.join(conn, there)
			g.join(there, conn)
		}
	}()
	return "tcp://" + gateAddress
}

// join carries what one side says to the other.
func (g *gate) join(from, to net.Conn) {
	g.mu.Lock()
	g.conns[from] = true
	g.mu.Unlock()
	go func() {
		_, _ = io.Copy(to, from)
		to.Close()
		g.mu.Lock()
		delete(g.conns, from)
		g.mu.Unlock()
	}()
}

// close cuts all connections, and none is made any more.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener.Close()
	for conn := range g.conns {
		conn.Close()
	}
}
