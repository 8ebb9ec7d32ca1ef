// SPDX-License-Identifier: Apache-2.0

// Command sibling is the hostile code in a job's container, in the tests of the relay:
//
//	sibling ask HOST:PORT TEXT         sends the text as it is and prints the answer's status
//	sibling hold HOST:PORT N SECONDS   opens N connections, feeds each a header that never
//	                                   ends, and prints how many are open at once, and
//	                                   how many still are after so many seconds
//
// It is no client of anything: it sends what no client would.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const patience = 5 * time.Second

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "ask":
		return ask(args[1], args[2], out)
	case len(args) == 4 && args[0] == "hold":
		n, err := strconv.Atoi(args[2])
		seconds, err2 := strconv.Atoi(args[3])
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		return hold(args[1], n, time.Duration(seconds)*time.Second, out)
	}
	return errors.New("want ask HOST:PORT TEXT, or hold HOST:PORT N SECONDS")
}

func ask(address, text string, out io.Writer) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		fmt.Fprintln(out, "no connection")
		return nil
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		fmt.Fprintln(out, "no answer")
		return nil
	}
	defer answer.Body.Close()
	fmt.Fprintln(out, answer.StatusCode)
	return nil
}

// hold watches each connection by reading from it: only the other side can end that.
func hold(address string, n int, d time.Duration, out io.Writer) error {
	ended, open := make(chan struct{}, n), 0
	for range n {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			continue
		}
		defer conn.Close()
		open++
		go feed(conn)
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			ended <- struct{}{}
		}()
	}
	// those that are too many are closed at once
	left := open - count(ended, time.After(2*time.Second))
	fmt.Fprintln(out, "held", left)
	left -= count(ended, time.After(d))
	fmt.Fprintln(out, "still", left)
	return nil
}

func count(ended <-chan struct{}, until <-chan time.Time) (n int) {
	for {
		select {
		case <-ended:
			n++
		case <-until:
			return n
		}
	}
}

// feed sends a header, a byte a second.
func feed(conn net.Conn) {
	if _, err := io.WriteString(conn, "POST /api/v4/jobs/request HTTP/1.1\r\nHost: relay\r\nX-Slow: "); err != nil {
		return
	}
	for range time.NewTicker(time.Second).C {
		if _, err := io.WriteString(conn, "x"); err != nil {
			return
		}
	}
}
