// SPDX-License-Identifier: Apache-2.0

package memnet

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Config configures a Network; the zero value is a network without delay.
type Config struct {
	// Latency is how long a client's n-th request (from 1) takes to reach its server; nil means none.
	Latency func(r *http.Request, n int) time.Duration
	// Hook, when not nil, is called before a client's n-th request leaves and again when
	// its answer (or error) is back, before the caller sees it. It may cut the client:
	// then the request is never sent, or performed and its answer lost.
	Hook func(client string, r *http.Request, n int, answered bool)
}

// Network connects clients to listeners by host name.
type Network struct {
	config Config

	mu        sync.Mutex
	closed    bool
	nextPort  int
	listeners map[string]*listener // by "host", or "host:port"
	clients   map[string]*Client
}

// firstPort is the first port that is given out when none is asked for.
const firstPort = 40000

// New makes an empty network.
func New(c Config) *Network {
	return &Network{config: c, nextPort: firstPort, listeners: map[string]*listener{}, clients: map[string]*Client{}}
}

// Listen listens on "host:port", on a free port with "host:0", or with "host" on every
// port of the host that nobody else listens on.
func (n *Network) Listen(addr string) (net.Listener, error) { return n.listen(addr, nil) }

// Client finds or makes the client of a name. Whoever stands for one process shares one client.
func (n *Network) Client(name string) *Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.clients[name]
	if !ok {
		c = &Client{network: n, name: name, done: make(chan struct{}), owned: map[closer]struct{}{}}
		n.clients[name] = c
		if n.closed {
			close(c.done)
			c.cut = true
		}
	}
	return c
}

// Transport is the transport of a client without a name, for tests that cut nobody.
func (n *Network) Transport() *Transport { return n.Client("").Transport() }

// Close cuts every client and closes every listener.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	var clients []*Client
	for _, c := range n.clients {
		clients = append(clients, c)
	}
	var listeners []*listener
	for _, l := range n.listeners {
		listeners = append(listeners, l)
	}
	n.mu.Unlock()
	for _, c := range clients {
		c.Cut()
	}
	for _, l := range listeners {
		_ = l.Close() // never fails
	}
}

// listen makes a listener, owned by a client or by nobody.
func (n *Network) listen(addr string, owner *Client) (net.Listener, error) {
	n.mu.Lock()
	l, err := n.addListener(addr, owner)
	n.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: err}
	}
	if owner != nil && !owner.own(l) {
		_ = l.Close() // never fails
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: ErrCut}
	}
	return l, nil
}

func (n *Network) addListener(addr string, owner *Client) (*listener, error) {
	if n.closed {
		return nil, net.ErrClosed
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && port == "0" {
		addr = net.JoinHostPort(host, strconv.Itoa(n.port()))
	}
	if _, taken := n.listeners[addr]; taken {
		return nil, fmt.Errorf("%s: %w", addr, syscall.EADDRINUSE)
	}
	l := &listener{network: n, addr: addr, owner: owner, arrived: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// port gives out a port; the caller holds the lock.
func (n *Network) port() int {
	n.nextPort++
	return n.nextPort - 1
}

// find finds who listens on an address.
func (n *Network) find(addr string) (*listener, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := n.listeners[addr]; ok {
		return l, true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, false
	}
	l, ok := n.listeners[host]
	return l, ok
}

// named is the address of a host that has a name only.
type named string

// Network implements net.Addr.
func (named) Network() string { return "tcp" }

// String implements net.Addr.
func (a named) String() string { return string(a) }

// address is the net.Addr of an address.
func address(addr string) net.Addr {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return named(addr)
}
