// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"heptapod-paas-runner/internal/config"
)

// terminal is a person at a terminal of the kernel's own, with the program in it.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	seen   string // all that was on the screen
	read   int    // how much of it was waited for
}

// openTerminal makes a pair of a terminal's ends.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) {
		number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		failed = errors.Join(failed, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
	})
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// sit starts the program at a terminal of its own. redirect sends stderr elsewhere.
func sit(t *testing.T, redirect bool, args ...string) *terminal {
	t.Helper()
	master, slave := openTerminal(t)
	defer slave.Close()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if redirect {
		cmd.Stderr = nil
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, master: master, cmd: cmd}
}

// await reads until the screen shows a text that it has not shown before.
func (p *terminal) await(text string) {
	p.t.Helper()
	if err := p.master.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for {
		if i := strings.Index(p.seen[p.read:], text); i >= 0 {
			p.read += i + len(text)
			return
		}
		n, err := p.master.Read(buffer)
		p.seen += string(buffer[:n])
		if err != nil && !strings.Contains(p.seen[p.read:], text) {
			p.t.Fatalf("waiting for %q: %v; the screen shows\n%s", text, err, p.seen)
		}
	}
}

// answer waits for a question, and types.
func (p *terminal) answer(question, typed string) {
	p.t.Helper()
	p.await(question)
	p.key(typed + "\r")
}

func (p *terminal) key(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the program, reads the rest of the screen, and gives the exit code.
func (p *terminal) end() int {
	p.t.Helper()
	err := p.cmd.Wait()
	for {
		buffer := make([]byte, 4096)
		if err := p.master.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			p.t.Fatal(err)
		}
		n, err := p.master.Read(buffer)
		p.seen += string(buffer[:n])
		if err != nil {
			break
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return 0
}

// echoes tells whether what is typed is shown.
func (p *terminal) echoes() bool {
	p.t.Helper()
	raw, err := p.master.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var state *unix.Termios
	var failed error
	if err := errors.Join(raw.Control(func(fd uintptr) { state, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS) }), failed); err != nil || state == nil {
		p.t.Fatal(err, failed)
	}
	return state.Lflag&unix.ECHO != 0
}

// The whole conversation. Secrets are typed without being shown.
func TestAtATerminal(t *testing.T) {
	t.Parallel()
	url, file := serve(t)
	p := sit(t, false, file)
	p.answer("State file path [/var/lib/heptapod-paas-runner/state.db]: ", "state.db")
	p.answer("Concurrency (jobs at once over all runners): ", "4")
	p.answer("such as https://heptapod.example.com: ", url)
	p.answer("Name of the runner", "at the terminal")
	p.answer("or a registration token: ", "sim-registration-token")
	p.answer("[clever-docker]: ", "")
	p.answer("top-level group names): ", "orga_1")
	p.answer("Clever Cloud's API: ", "canary-cc-token")
	p.answer("of which flavor [M]: ", "S")
	p.answer("how many of them at once [4]: ", "")
	p.await(`The runner "at the terminal" is registered`)
	if code := p.end(); code != 0 {
		t.Errorf("ended with %d:\n%s", code, p.seen)
	}
	for _, secret := range []string{"sim-registration-token", "canary-cc-token"} {
		if strings.Contains(p.seen, secret) {
			t.Errorf("%s is on the screen:\n%s", secret, p.seen)
		}
	}
	cfg, err := config.Load(file)
	if err != nil || len(cfg.Warnings) > 0 || cfg.Runners[0].Clever.Token.Reveal() != "canary-cc-token" {
		t.Errorf("%v, %+v", err, cfg)
	}
}

// Where stderr goes elsewhere the questions still reach the person.
func TestQuestionsReachTheTerminal(t *testing.T) {
	t.Parallel()
	url, file := serve(t)
	p := sit(t, true, file, "--url", url, "--name", "x", "-t", "glrt-x", "--max-concurrency", "1", "-e", "local-docker")
	p.answer("State file path", "s.db")
	p.await("is known at")
	if code := p.end(); code != 0 {
		t.Errorf("ended with %d:\n%s", code, p.seen)
	}
}

// Ctrl-C and the end of input leave nothing behind, and a terminal that echoes.
func TestStoppedAtATerminal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key string
		code      int
		says      string
	}{
		{"Ctrl-C", "\x03", 130, "interrupted; nothing is changed"},
		{"Ctrl-D", "\x04", 1, "the input ended before"},
	} {
		for _, hidden := range []bool{false, true} {
			url, file := serve(t)
			p := sit(t, false, file, "--url", url, "--name", "x", "-e", "local-docker", "--state-file-path", "s")
			p.await("Concurrency (jobs at once over all runners): ")
			if hidden {
				p.key("4\r")
				p.await("or a registration token: ")
				if p.echoes() {
					t.Errorf("%s: the terminal shows what is typed", c.name)
				}
			}
			p.key(c.key)
			code := p.end()
			if code != c.code || !strings.Contains(p.seen, c.says) {
				t.Errorf("%s, hidden %v: ended with %d:\n%s", c.name, hidden, code, p.seen)
			}
			if !p.echoes() {
				t.Errorf("%s, hidden %v: the terminal does not echo any more", c.name, hidden)
			}
			if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) > 0 {
				t.Errorf("%s, hidden %v: left %v, %v", c.name, hidden, entries, err)
			}
		}
	}
}
