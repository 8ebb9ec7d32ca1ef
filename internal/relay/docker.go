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
	"net/url"
	"strings"
	"time"
)

const (
	dockerSocket  = "/var/run/docker.sock"
	dockerTimeout = 30 * time.Second
	ownMounts     = "/proc/self/mountinfo"
)

// Docker is how the relay reaches the Docker engine and knows its own container.
// The zero value is the mounted socket and this process.
type Docker struct {
	Transport http.RoundTripper
	MountInfo string // the file that names our container; /proc/self/mountinfo
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

// open sees that the engine answers, and which version of its API it wants.
func (e *engine) open(ctx context.Context) error {
	header, err := e.call(ctx, http.MethodGet, "/_ping", nil, nil)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot open the Docker socket %s: this container may not use it (with user namespaces, its group must be the remapped one): %w", dockerSocket, err)
	case err != nil:
		return fmt.Errorf("cannot open the Docker socket %s: %w", dockerSocket, err)
	}
	if v := header.Get("Api-Version"); v != "" {
		e.version = "/v" + v
	}
	return nil
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

func engineMessage(text []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &m) == nil && m.Message != "" {
		return m.Message
	}
	return strings.TrimSpace(string(text[:min(len(text), 200)]))
}

// container is what the relay reads of one.
type container struct {
	ID    string `json:"Id"`
	State struct {
		Running bool `json:"Running"`
	} `json:"State"`
	Config struct {
		Labels map[string]string `json:"Labels"`
	} `json:"Config"`
	NetworkSettings struct {
		Networks map[string]struct {
			IPAddress string `json:"IPAddress"`
		} `json:"Networks"`
	} `json:"NetworkSettings"`
}

func (e *engine) container(ctx context.Context, id string) (container, error) {
	var c container
	_, err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(id)+"/json", nil, &c)
	return c, err
}

func (e *engine) removeContainer(ctx context.Context, id string) error {
	_, err := e.call(ctx, http.MethodDelete, "/containers/"+url.PathEscape(id)+"?force=true&v=true", nil, nil)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// dockerNetwork is what the relay reads of one.
type dockerNetwork struct {
	ID         string            `json:"Id"`
	Name       string            `json:"Name"`
	Labels     map[string]string `json:"Labels"`
	Options    map[string]string `json:"Options"`
	Containers map[string]any    `json:"Containers"`
}

func (e *engine) network(ctx context.Context, name string) (dockerNetwork, error) {
	var n dockerNetwork
	_, err := e.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(name), nil, &n)
	return n, err
}

// networks lists those that carry a label.
func (e *engine) networks(ctx context.Context, label string) ([]dockerNetwork, error) {
	filter, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, fmt.Errorf("encode a filter: %w", err)
	}
	var out []dockerNetwork
	_, err = e.call(ctx, http.MethodGet, "/networks?filters="+url.QueryEscape(string(filter)), nil, &out)
	return out, err
}

func (e *engine) removeNetwork(ctx context.Context, id string) error {
	_, err := e.call(ctx, http.MethodDelete, "/networks/"+url.PathEscape(id), nil, nil)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}
