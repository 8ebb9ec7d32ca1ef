// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
)

// site is where the sub-runner finds the relay: an address, and with the docker
// executor a network around it.
type site struct {
	listener net.Listener
	network  *jobNetwork // nil without Docker
	err      error       // why there is no site
}

// openSite finds an address that the sub-runner and its containers can reach, and
// writes the sub-runner's configuration with it.
func (r *relay) openSite(ctx context.Context) *site {
	text, err := os.ReadFile(r.settings.path(r.settings.RunnerFile))
	if err != nil {
		return &site{err: fmt.Errorf("read the sub-runner's configuration: %w", err)}
	}
	p, ip := &site{}, "127.0.0.1"
	if executor(text) == "docker" {
		if !bytes.Contains(text, []byte(r.settings.NetworkPlaceholder)) {
			return &site{err: errors.New("the sub-runner's configuration has no place for the job's network")}
		}
		n, err := joinNetwork(ctx, r.deps.Docker, r.settings.Key, r.settings.Docker.Subnet, r.log)
		if err != nil {
			return &site{err: err}
		}
		p.network, ip = n, n.ip
		text = bytes.ReplaceAll(text, []byte(r.settings.NetworkPlaceholder), []byte(n.name))
	}
	l, err := listen(r.deps.Listen, ip)
	if err != nil {
		p.err = err
		return p
	}
	p.listener = l
	text = bytes.ReplaceAll(text, []byte(r.settings.URLPlaceholder), []byte(p.url()))
	if err := writeSynced(r.configCopy(), text); err != nil {
		p.err = fmt.Errorf("write the sub-runner's configuration: %w", err)
	}
	return p
}

func (p *site) url() string { return "http://" + p.listener.Addr().String() }

// close gives the address and the network back; not when the power is gone.
func (p *site) close(ctx context.Context) {
	if p.listener != nil {
		p.listener.Close() // closed before, as a rule, by the server on it
	}
	if p.network != nil && ctx.Err() == nil {
		p.network.leave(ctx)
	}
}

// executor reads the one key that the relay needs of the sub-runner's configuration.
// The file is written by the manager, with one key on a line.
func executor(text []byte) string {
	found := regexp.MustCompile(`(?m)^\s*executor\s*=\s*["']([^"']*)["']`).FindSubmatch(text)
	if found == nil {
		return ""
	}
	return string(found[1])
}

// environment keeps a proxy of the instance out of the way between sub-runner and relay.
func environment(env []string, host string) []string {
	out := make([]string, 0, len(env)+2)
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		value := host
		for _, e := range env {
			if old, ok := strings.CutPrefix(e, name+"="); ok && old != "" {
				value = old + "," + host
			}
		}
		out = append(out, name+"="+value)
	}
	for _, e := range env {
		if !strings.HasPrefix(e, "NO_PROXY=") && !strings.HasPrefix(e, "no_proxy=") {
			out = append(out, e)
		}
	}
	return out
}
