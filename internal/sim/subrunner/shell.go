// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"
)

// Shell is where a job's commands run. It is sealed: there are [Real] and [Virtual].
type Shell interface {
	// open makes a place for one job.
	open(place) (workspace, error)
	name() string
}

// place says where a job belongs and what it may see.
type place struct {
	project string // absolute folder of the sources
	vars    []Variable
	payload *payload
	out     io.Writer
}

// workspace is the place of one job. All of it writes to the job's trace.
type workspace interface {
	// run runs the lines in one shell and gives its exit code. When the context
	// ends, the shell and all that it started is killed.
	run(ctx context.Context, lines []string, vars []Variable) (int, error)
	// getSources clones the project, if the job wants it.
	getSources(ctx context.Context) error
	// unpack puts the artifacts of another job in place.
	unpack(zip []byte) error
	// pack makes an archive of artifacts and tells how many files it has.
	pack(a artifact) ([]byte, int, error)
	// close removes what must not stay.
	close() error
}

// Virtual is a shell that runs nothing: it waits as long as the job's variable
// SIM_VIRTUAL_SECONDS says and prints a line per command. `exit N`, `false` and
// plain `echo` are understood.
type Virtual struct{}

func (Virtual) name() string { return "bash" }

func (Virtual) open(p place) (workspace, error) {
	seconds, err := strconv.ParseFloat(p.payload.variable("SIM_VIRTUAL_SECONDS"), 64)
	if err != nil || seconds < 0 {
		seconds = 0
	}
	return &virtualPlace{out: p.out, total: time.Duration(seconds * float64(time.Second)), script: len(p.payload.script("script"))}, nil
}

type virtualPlace struct {
	out    io.Writer
	total  time.Duration
	script int  // lines that share the time
	spent  bool // the time was spent; after_script takes none
}

func (v *virtualPlace) run(ctx context.Context, lines []string, vars []Variable) (int, error) {
	each := time.Duration(0)
	if !v.spent && len(lines) > 0 {
		each = v.total / time.Duration(len(lines))
	}
	v.spent = true
	values := map[string]string{}
	for _, x := range vars {
		values[x.Key] = x.Value
	}
	for _, line := range lines {
		_, _ = io.WriteString(v.out, echo(line)) // a trace never fails
		if !sleep(ctx, each) {
			return -1, context.Cause(ctx)
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch verb {
		case "echo":
			_, _ = io.WriteString(v.out, expandOnce(strings.Trim(arg, `"'`), values)+"\n")
		case "false":
			return 1, nil
		case "exit":
			code, _ := strconv.Atoi(arg)
			return code & 0xff, nil
		}
	}
	return 0, nil
}

func (v *virtualPlace) getSources(context.Context) error { return nil }
func (v *virtualPlace) unpack([]byte) error              { return nil }
func (v *virtualPlace) close() error                     { return nil }

func (v *virtualPlace) pack(a artifact) ([]byte, int, error) {
	return zipFiles(map[string][]byte{"virtual/" + a.Name + ".txt": []byte("made by a virtual shell\n")})
}

// echo is how a command is shown before it runs.
func echo(line string) string {
	first, _, several := strings.Cut(line, "\n")
	if several {
		first += " # collapsed multi-line command"
	}
	return "\x1b[32;1m$ " + first + "\x1b[0;m\n"
}
