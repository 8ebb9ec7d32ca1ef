// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	dockerSocket  = "/var/run/docker.sock"
	dockerTimeout = 30 * time.Second
	// knownVersion is the newest version of the engine's API that is spoken here. Older
	// engines get their own, newer ones the oldest that they still know.
	knownVersion = "1.44"
)

// Docker is how the relay reaches the Docker engine and knows its own container.
// The zero value is the mounted socket and this process.
type Docker struct {
	Transport http.RoundTripper
	MountInfo string // the mounts of this process; /proc/self/mountinfo
	CGroup    string // its control groups; /proc/self/cgroup
	Hostname  func() (string, error)
}

// engine calls the Docker engine's HTTP API.
type engine struct {
	transport http.RoundTripper
	version   string // "/v1.41", as the engine says; "" before it did
}

// errGone: the engine does not know the thing.
var errGone = errors.New("no such thing")

func newEngine(d Docker) *engine {
	if d.Transport != nil {
		return &engine{transport: d.Transport}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dockerSocket)
	}
	return &engine{transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// open sees that the engine answers, and agrees with it on a version of its API.
func (e *engine) open(ctx context.Context) error {
	header, err := e.call(ctx, http.MethodGet, "/_ping", nil, nil)
	if err != nil {
		return fmt.Errorf("cannot open the Docker socket %s: %s: %w", dockerSocket, socketTrouble(err), err)
	}
	theirs := header.Get("Api-Version")
	if theirs == "" {
		return nil // it takes calls without a version
	}
	if newerVersion(knownVersion, theirs) {
		e.version = "/v" + theirs
		return nil
	}
	var v struct {
		MinAPIVersion string
	}
	if _, err := e.call(ctx, http.MethodGet, "/version", nil, &v); err != nil {
		return fmt.Errorf("ask the Docker Engine for its version: %w", err)
	}
	e.version = "/v" + knownVersion
	if newerVersion(v.MinAPIVersion, knownVersion) {
		e.version = "/v" + v.MinAPIVersion
	}
	return nil
}

// socketTrouble says in the user's words what is wrong with the socket.
func socketTrouble(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "this container may not use it (with user namespaces, its group must be the remapped root's)"
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there (it must be mounted into this container)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no Docker Engine answers on it"
	}
	return "the Docker Engine does not answer"
}

// newerVersion compares versions such as 1.41; what is none is older than any.
func newerVersion(a, b string) bool {
	return slices.Compare(versionParts(a), versionParts(b)) > 0
}

func versionParts(v string) []int {
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// call makes one call; in and out are JSON, or nil.
func (e *engine) call(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, dockerTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", path, err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+e.version+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := e.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("docker %s %s: read the answer: %w", method, path, err)
	}
	if answer.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("docker %s %s: %w: %s", method, path, errGone, engineMessage(text))
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("docker %s %s: %d: %s", method, path, answer.StatusCode, engineMessage(text))
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return nil, fmt.Errorf("docker %s %s: decode the answer: %w", method, path, err)
		}
	}
	return answer.Header, nil
}

// longestWords is how much of the engine's words is repeated.
const longestWords = 300

// engineMessage is what the engine said, as one short line that drives no terminal: it
// comes to stand in the job's log.
func engineMessage(text []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	said := string(text[:min(len(text), 4*longestWords)])
	if json.Unmarshal(text, &m) == nil && m.Message != "" {
		said = m.Message
	}
	said = strings.Join(strings.FieldsFunc(said, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }), " ")
	if len(said) > longestWords {
		said = strings.ToValidUTF8(said[:longestWords], "") + "…"
	}
	return said
}
