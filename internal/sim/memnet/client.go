// SPDX-License-Identifier: Apache-2.0

package memnet

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// ErrCut is why nothing works any more on a client that was cut.
var ErrCut = errors.New("memnet: the client was cut")

// Client is one process on the network.
type Client struct {
	network *Network
	name    string
	done    chan struct{} // closed by Cut

	// Below: guarded by network.mu.
	cut      bool
	requests int
	owned    map[closer]struct{}
}

// Cut ends all connections and listeners of the client at once; from then on it can
// neither dial nor listen. What servers are performing for it goes on, if they don't care.
func (c *Client) Cut() {
	c.network.mu.Lock()
	if c.cut {
		c.network.mu.Unlock()
		return
	}
	c.cut = true
	close(c.done)
	owned := c.owned
	c.owned = map[closer]struct{}{}
	c.network.mu.Unlock()
	for o := range owned {
		_ = o.Close() // the ends of a pipe close without error
	}
}

// Listen listens as Network.Listen does, until the client is cut.
func (c *Client) Listen(addr string) (net.Listener, error) { return c.network.listen(addr, c) }

// Dial connects to who listens on an address; it has the signature of
// http.Transport.DialContext.
func (c *Client) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	there, err := c.dial(ctx, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: address(addr), Err: err}
	}
	return there, nil
}

func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	l, ok := c.network.find(addr)
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	here, there := c.network.connect(c, l, addr)
	if !c.own(here) || !l.owner.own(there) {
		_, _ = here.Close(), there.Close() // the ends of a pipe close without error
		return nil, ErrCut
	}
	var err error
	select {
	case l.arrived <- there:
		return here, nil
	case <-l.done:
		err = syscall.ECONNREFUSED
	case <-c.done:
		err = ErrCut
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_, _ = here.Close(), there.Close() // the ends of a pipe close without error
	return nil, err
}

// connect makes the two ends of a connection. Both say that they come from this
// computer, as they would if the simulators ran as processes.
func (n *Network) connect(c *Client, l *listener, addr string) (here, there *conn) {
	n.mu.Lock()
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.port()}
	n.mu.Unlock()
	a, b := net.Pipe()
	here = &conn{Conn: a, local: from, remote: address(addr), owner: c}
	there = &conn{Conn: b, local: address(addr), remote: from, owner: l.owner}
	return here, there
}

// own makes something die with the client, and tells whether the client still lives. A
// nil client is somebody who is never cut.
func (c *Client) own(o closer) bool {
	if c == nil {
		return true
	}
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.cut {
		return false
	}
	c.owned[o] = struct{}{}
	return true
}

func (c *Client) disown(o closer) {
	if c == nil {
		return
	}
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	delete(c.owned, o)
}

// begin counts a request and gives its number, unless the client was cut.
func (c *Client) begin() (int, error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.cut {
		return 0, ErrCut
	}
	c.requests++
	return c.requests, nil
}

// err tells that the client was cut.
func (c *Client) err() error {
	select {
	case <-c.done:
		return ErrCut
	default:
		return nil
	}
}
