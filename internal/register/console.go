// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxLine bounds an answer.
const maxLine = 64 << 10

// Console is where questions are asked: a terminal, or a pipe with one answer a line.
type Console struct {
	in       *os.File
	out      io.Writer
	terminal bool
}

// NewConsole reads answers from in. What is said goes to out; questions too, unless a
// person sits at a terminal that out does not lead to: they are then written there.
func NewConsole(in *os.File, out io.Writer) *Console {
	return &Console{in: in, out: out, terminal: term.IsTerminal(int(in.Fd()))}
}

// Say writes one line for people. A closed stream is nothing to stop for.
func (c *Console) Say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format+"\n", args...)
}

// errEnd: nobody is left to answer.
var errEnd = errors.New("the input ended")

// Ask asks one question and gives the answer without blanks around it. A secret's answer
// is not shown. It ends with the context, whatever is being typed.
func (c *Console) Ask(ctx context.Context, question string, hidden bool) (string, error) {
	to, done := c.screen()
	defer done()
	_, _ = io.WriteString(to, question)
	if !c.terminal || !hidden {
		line, err := c.read(ctx, c.line)
		if err != nil {
			_, _ = io.WriteString(to, "\n") // what follows begins on a line of its own
		}
		return line, err
	}
	before, err := term.GetState(int(c.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask without echo: %w", err)
	}
	line, err := c.read(ctx, c.hidden)
	if err != nil {
		_ = term.Restore(int(c.in.Fd()), before) // a read that goes on would leave the echo off
	}
	_, _ = io.WriteString(to, "\n") // the one that was not shown
	return line, err
}

// screen is where questions are written.
func (c *Console) screen() (to io.Writer, done func()) {
	if file, ok := c.out.(*os.File); !c.terminal || !ok || term.IsTerminal(int(file.Fd())) {
		return c.out, func() {}
	}
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		return c.out, func() {}
	}
	return tty, func() { tty.Close() }
}

// read waits for a line or for the end of the context.
func (c *Console) read(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := read()
		got <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// line reads up to the end of a line and not a byte further: the rest is the next
// answer, which may be read in another way.
func (c *Console) line() (string, error) {
	var out []byte
	buffer := make([]byte, 1)
	for len(out) <= maxLine {
		n, err := c.in.Read(buffer)
		switch {
		case n == 1 && buffer[0] == '\n':
			return string(out), nil
		case n == 1:
			out = append(out, buffer[0])
		case errors.Is(err, io.EOF) && len(out) > 0:
			return string(out), nil
		case errors.Is(err, io.EOF):
			return "", errEnd
		case err != nil:
			return "", fmt.Errorf("read an answer: %w", err)
		}
	}
	return "", fmt.Errorf("an answer is longer than %d bytes", maxLine)
}

// hidden reads a line from the terminal without showing it.
func (c *Console) hidden() (string, error) {
	raw, err := term.ReadPassword(int(c.in.Fd()))
	if errors.Is(err, io.EOF) {
		return "", errEnd
	}
	if err != nil {
		return "", fmt.Errorf("read an answer: %w", err)
	}
	return string(raw), nil
}
