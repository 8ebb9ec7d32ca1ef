// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// memNet is a network in memory: it works in a synctest bubble, and connections
// have the addresses that a test gives them.
type memNet struct {
	mu        sync.Mutex
	listeners map[string]*memListener
	cut       map[string]bool // hosts that refuse
	next      int
}

func newMemNet() *memNet {
	return &memNet{listeners: map[string]*memListener{}, cut: map[string]bool{}, next: 40000}
}

// listen opens host:port; port 0 is chosen.
func (n *memNet) listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port == "0" {
		n.next++
		port = fmt.Sprint(n.next)
	}
	address = net.JoinHostPort(host, port)
	if n.listeners[address] != nil {
		return nil, fmt.Errorf("%s is taken", address)
	}
	l := &memListener{net: n, address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// setDown makes a host refuse connections.
func (n *memNet) setDown(address string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[address] = down
}

func (n *memNet) dial(ctx context.Context, from, address string) (net.Conn, error) {
	n.mu.Lock()
	l, cut := n.listeners[address], n.cut[address]
	n.next++
	source := net.JoinHostPort(from, fmt.Sprint(n.next))
	n.mu.Unlock()
	if l == nil || cut {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	client, server := net.Pipe()
	select {
	case l.conns <- &memConn{Conn: server, local: textAddr(address), remote: textAddr(source)}:
		return &memConn{Conn: client, local: textAddr(source), remote: textAddr(address)}, nil
	case <-l.closed:
		return nil, fmt.Errorf("dial %s: connection refused", address)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// transport dials from one address. Connections are not kept, so that nothing is
// left over in a bubble and an outage is seen at once.
func (n *memNet) transport(from string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return n.dial(ctx, from, address) },
	}
}

type memListener struct {
	net     *memNet
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errors.Join(net.ErrClosed)
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.listeners, l.address)
		l.net.mu.Unlock()
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return textAddr(l.address) }

type memConn struct {
	net.Conn
	local, remote net.Addr
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }
