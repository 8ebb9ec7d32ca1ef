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
	if c.terminal && hidden {
		restore, err := withoutEcho(c.in) // before the question: who types fast is not shown either
		if err != nil {
			return "", err
		}
		defer restore()
	}
	_, _ = io.WriteString(to, question)
	line, err := c.read(ctx)
	if err != nil || c.terminal && hidden {
		_, _ = io.WriteString(to, "\n") // what follows begins on a line of its own
	}
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
func (c *Console) read(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := c.line()
		got <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-got:
		if err := ctx.Err(); err != nil { // both may be there: Ctrl-C is what was meant
			return "", err
		}
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// line reads up to the end of a line and not a byte further: the rest is not ours yet.
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
