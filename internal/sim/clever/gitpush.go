// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// push is what a client asks for.
type push struct {
	commands []command
	caps     map[string]bool
	shallow  bool
}

// command moves one reference.
type command struct {
	from, to plumbing.Hash
	name     plumbing.ReferenceName
}

var errNoCommands = errors.New("no commands")

// readPush reads the commands up to the flush; what follows is the pack.
func readPush(r io.Reader) (push, error) {
	p := push{caps: map[string]bool{}}
	for {
		line, err := readPkt(r)
		if err != nil {
			return p, fmt.Errorf("read commands: %w", err)
		}
		if line == nil {
			break
		}
		text, caps, _ := strings.Cut(string(line), "\x00")
		for c := range strings.FieldsSeq(caps) {
			p.caps[c] = true
		}
		text = strings.TrimSuffix(text, "\n")
		if strings.HasPrefix(text, "shallow ") {
			p.shallow = true
			continue
		}
		parts := strings.SplitN(text, " ", 3)
		if len(parts) != 3 || !plumbing.IsHash(parts[0]) || !plumbing.IsHash(parts[1]) {
			return p, fmt.Errorf("%w: command %q", errPkt, text)
		}
		p.commands = append(p.commands, command{
			plumbing.NewHash(parts[0]), plumbing.NewHash(parts[1]), plumbing.ReferenceName(parts[2]),
		})
	}
	if len(p.commands) == 0 {
		return p, errNoCommands
	}
	return p, nil
}

// gitReceivePack takes a push. One that moves master becomes a deployment.
func (s *Server) gitReceivePack(w http.ResponseWriter, r *http.Request) {
	a, who := s.gitApp(w, r)
	if a == nil {
		return
	}
	body, err := gitBody(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	gitHeader(w, "application/x-git-receive-pack-result")
	p, err := readPush(body)
	if errors.Is(err, errNoCommands) {
		return // the probe that git sends before a large push: an empty answer will do
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, deployed := s.receive(a, p, body)
	if deployed != nil {
		s.pushed(a, deployed, who)
	}
	report(w, p, status, deployed != nil)
}

// pushStatus is what the report says: how unpacking went and, by reference, what
// was wrong ("" = ok).
type pushStatus struct {
	unpack string
	refs   []string
}

// receive stores the pack and moves the references. It gives the tree of master
// when that moved.
func (s *Server) receive(a *application, p push, pack io.Reader) (pushStatus, *snapshot) {
	status := pushStatus{unpack: "ok", refs: make([]string, len(p.commands))}
	a.repo.mu.Lock()
	defer a.repo.mu.Unlock()
	needsPack := false
	for _, c := range p.commands {
		needsPack = needsPack || !c.to.IsZero()
	}
	if needsPack {
		if err := a.repo.unpack(pack); err != nil {
			status.unpack = "unpack failed: " + err.Error()
		}
	}
	var deployed *snapshot
	for i, c := range p.commands {
		switch {
		case status.unpack != "ok":
			status.refs[i] = "unpacker error"
		case p.shallow:
			status.refs[i] = "shallow update not allowed"
		case strings.HasPrefix(string(c.name), "refs/heads/") && c.name != deployedRef:
			status.refs[i] = "hook declined"
		default:
			deployed, status.refs[i] = s.move(a, c, deployed)
		}
	}
	return status, deployed
}

// move carries out one command. Needs the repository's lock.
func (s *Server) move(a *application, c command, before *snapshot) (*snapshot, string) {
	var files *snapshot
	if c.name == deployedRef && !c.to.IsZero() {
		var err error
		if files, err = a.repo.snapshot(c.to, s.pool); err != nil {
			return before, "unreadable tree: " + err.Error()
		}
	}
	if err := a.repo.setRef(c.name, c.from, c.to); err != nil {
		return before, err.Error()
	}
	if files == nil || c.from == c.to {
		return before, ""
	}
	return files, ""
}

// pushed makes a deployment of what was pushed to master.
func (s *Server) pushed(a *application, files *snapshot, who *identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.state == stateDeleted {
		s.pool.release(a.repo)
		return
	}
	a.pushed = files
	a.files = showFiles(files)
	if !s.world.AcceptPushWithoutDeployment {
		s.deploy(a, files, "Git", who.id, now().Add(seconds(s.world.DeploymentLagSeconds)))
	}
}

// report answers a push: the result by reference, and words for people.
func report(w io.Writer, p push, status pushStatus, deployed bool) {
	var plain bytes.Buffer
	lines := &pktWriter{w: &plain}
	lines.line("unpack %s\n", status.unpack)
	var words strings.Builder
	for i, c := range p.commands {
		if status.refs[i] == "" {
			lines.line("ok %s\n", c.name)
			continue
		}
		lines.line("ng %s %s\n", c.name, status.refs[i])
		if status.refs[i] == "hook declined" {
			words.WriteString("[ERROR] You tried to push to a custom branch. This is not allowed.\n")
		}
	}
	lines.flush()
	if deployed {
		words.WriteString("[SUCCESS] The application has successfully been queued for redeploy.\n")
	}
	if !p.caps["report-status"] {
		return
	}
	if !p.caps["side-band-64k"] {
		_, _ = w.Write(plain.Bytes()) // a client that went away is not our trouble
		return
	}
	out := &pktWriter{w: w}
	out.band(2, []byte(words.String()))
	out.band(1, plain.Bytes())
	out.flush()
}
