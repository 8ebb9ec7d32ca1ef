// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// git serves the projects' repositories over smart HTTP, for reading; everything else
// that has no route ends here too. Only a job that runs may read, and only its own project.
func (s *Server) git(w http.ResponseWriter, r *http.Request) {
	project, endpoint, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	_, token, _ := r.BasicAuth()
	s.mu.Lock()
	var repo *repository
	j, known := s.tokens[token]
	if known && j.processing() && j.spec.Project == project {
		repo = s.repo(project)
	}
	s.mu.Unlock()
	switch {
	case !ok:
		failure(http.StatusNotFound, "404 Not Found").write(w)
	case repo == nil:
		w.Header().Set("Www-Authenticate", `Basic realm="GitLab"`)
		reply{status: http.StatusUnauthorized, text: "HTTP Basic: Access denied\n"}.write(w)
	case r.Method == http.MethodGet && endpoint == "info/refs" && r.URL.Query().Get("service") == "git-upload-pack":
		repo.advertise(w)
	case r.Method == http.MethodPost && endpoint == "git-upload-pack":
		repo.upload(w, r)
	default:
		reply{status: http.StatusForbidden, text: "You are not allowed to do that here\n"}.write(w)
	}
}

// advertise says what there is to fetch.
func (r *repository) advertise(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	w.Header().Set("Cache-Control", "no-cache")
	text := packet("# service=git-upload-pack\n") + flush +
		packet(r.commit+" HEAD\x00side-band-64k shallow no-progress symref=HEAD:refs/heads/"+branch+" agent=sim\n") +
		packet(r.commit+" refs/heads/"+branch+"\n") + flush
	_, _ = io.WriteString(w, text) // the client may be gone
}

// wish is what a client wants of an upload.
type wish struct {
	deepen, sideBand bool
	negotiates, done bool   // something, and "done", follow the wants
	common           string // a commit that the client has, too
}

// upload sends the whole repository, which is not worth to be cut down. A client that
// asks for a depth speaks twice: without "done" it only learns where history ends.
func (r *repository) upload(w http.ResponseWriter, req *http.Request) {
	wanted, err := r.read(req)
	if err != nil {
		reply{status: http.StatusBadRequest, text: err.Error() + "\n"}.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	w.Header().Set("Cache-Control", "no-cache")
	var out strings.Builder
	if wanted.deepen {
		out.WriteString(flush) // no commit is cut off: there is only one
	}
	switch {
	case wanted.common != "":
		out.WriteString(packet("ACK " + wanted.common + "\n"))
	case wanted.negotiates:
		out.WriteString(packet("NAK\n"))
	}
	switch {
	case wanted.done && wanted.sideBand:
		out.WriteString(packet("\x01"+string(r.pack)) + flush)
	case wanted.done:
		out.Write(r.pack)
	}
	_, _ = io.WriteString(w, out.String()) // the client may be gone
}

// read reads the packets of a client.
func (r *repository) read(req *http.Request) (wish, error) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return wish{}, fmt.Errorf("unzip the request: %w", err)
		}
		body = unzipped
	}
	var out wish
	flushed := false
	for lines := bufio.NewReader(io.LimitReader(body, 1<<20)); ; {
		line, err := readPacket(lines)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return wish{}, err
		}
		out.negotiates = out.negotiates || flushed
		flushed = flushed || line == ""
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case verb == "want" && !strings.HasPrefix(rest, r.commit):
			return wish{}, fmt.Errorf("want %s: there is no such commit", rest)
		case verb == "want":
			out.sideBand = out.sideBand || strings.Contains(rest, "side-band-64k")
		case verb == "have" && rest == r.commit:
			out.common = rest
		case verb == "done":
			out.done = true
		}
		out.deepen = out.deepen || strings.HasPrefix(verb, "deepen")
	}
}

// flush ends a list of packets.
const flush = "0000"

// packet is a text with its length in front.
func packet(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// readPacket reads one packet; a flush is an empty one.
func readPacket(r io.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(string(head), 16, 16)
	if err != nil {
		return "", fmt.Errorf("read the length of a packet: %w", err)
	}
	if n < 4 {
		return "", nil
	}
	text := make([]byte, n-4)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", fmt.Errorf("read a packet of %d bytes: %w", n, io.ErrUnexpectedEOF)
	}
	return string(text), nil
}
