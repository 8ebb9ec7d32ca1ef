// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// publicPort is where a PaaS looks for an application; the relay is none.
	publicPort = "8080"
	// strangers is how many connections all others together may hold.
	strangers = 64
)

// listen opens the relay's port on one address, never on the platform's own.
func listen(open func(string) (net.Listener, error), ip string) (net.Listener, error) {
	address := net.JoinHostPort(ip, "0")
	var refused []net.Listener
	defer func() {
		for _, l := range refused {
			l.Close()
		}
	}()
	for range 3 {
		l, err := open(address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", ip, err)
		}
		if _, port, err := net.SplitHostPort(l.Addr().String()); err != nil || port != publicPort {
			return l, nil
		}
		refused = append(refused, l) // kept open meanwhile, so that it isn't chosen again
	}
	return nil, fmt.Errorf("listen on %s: only port %s is offered", ip, publicPort)
}

// newServer limits what a stranger can hold: headers, time and connections.
func newServer(ctx context.Context, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// limited closes connections of strangers beyond their number, so that they can't
// keep the sub-runner out.
type limited struct {
	net.Listener
	own  func(remote, local net.Addr) bool
	most int

	mu   sync.Mutex
	held int
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.own(conn.RemoteAddr(), conn.LocalAddr()) {
			return conn, err
		}
		if l.hold(1) {
			return &counted{Conn: conn, free: func() { l.hold(-1) }}, nil
		}
		conn.Close()
	}
}

func (l *limited) hold(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held+n > l.most {
		return false
	}
	l.held += n
	return true
}

// counted is a connection that gives its place back once.
type counted struct {
	net.Conn
	free func()
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(c.free)
	return c.Conn.Close()
}

// busy counts the requests at work: a server that is closed doesn't wait for them,
// and what they use must outlive them.
type busy struct {
	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

func (b *busy) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.work.Add(1)
	}
	return !b.closed
}

func (b *busy) leave() { b.work.Done() }

// close lets nobody in any more and waits until all have left.
func (b *busy) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.work.Wait()
}
