// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net"
	"sync"
	"time"
)

const (
	// noticesAtOnce and noticesEach bound the notices that the manager is asked about: three
	// for each job come, but anybody may send some. What is refused costs nothing, since
	// a notice is a hint.
	noticesAtOnce = 100
	noticesEach   = 20 * time.Millisecond
	// strangers is how many connections all other computers together may hold, so that
	// they can't use up what the service needs for its own.
	strangers = 200
)

// bucket lets through what comes at a rate, and some at once. The zero value is full.
type bucket struct {
	mu   sync.Mutex
	next time.Time // when it is full again
}

func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.next.Before(now) {
		b.next = now
	}
	if b.next.Sub(now) > (noticesAtOnce-1)*noticesEach {
		return false
	}
	b.next = b.next.Add(noticesEach)
	return true
}

// limited closes connections of other computers beyond their number.
type limited struct {
	net.Listener

	mu   sync.Mutex
	held int
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || loopback(conn.RemoteAddr().String()) {
			return conn, err
		}
		if l.hold(1) {
			return &counted{Conn: conn, free: func() { l.hold(-1) }}, nil
		}
		_ = conn.Close() // nothing was said on it
	}
}

func (l *limited) hold(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held+n > strangers {
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
