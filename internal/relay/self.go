// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const (
	ownMounts = "/proc/self/mountinfo"
	ownCGroup = "/proc/self/cgroup"
)

// ownContainer finds the container that we run in. Its id is read where Docker leaves
// it, and believed once the engine knows a running container of that id.
func (e *engine) ownContainer(ctx context.Context, d Docker) (container, error) {
	found := ownIDs(d)
	for _, id := range found {
		c, err := e.container(ctx, id)
		switch {
		case errors.Is(err, errGone):
			continue // an id of something else, or of another engine's
		case err != nil:
			return container{}, fmt.Errorf("look at our own container: %w", err)
		case c.State.Running:
			return c, nil
		}
	}
	if len(found) == 0 {
		return container{}, errors.New("find our own container: this is not a container of Docker")
	}
	return container{}, errors.New("find our own container: the Docker Engine behind the socket does not run it")
}

// ownIDs gives what may be our container's id, surest first: the mounts that Docker
// gives to each container, the name of our control group, and the hostname, unless a
// platform has set it to something else.
func ownIDs(d Docker) []string {
	var out []string
	if text, err := os.ReadFile(cmp.Or(d.MountInfo, ownMounts)); err == nil {
		out = append(out, idsOfMounts(string(text))...)
	}
	if text, err := os.ReadFile(cmp.Or(d.CGroup, ownCGroup)); err == nil {
		out = append(out, idsOfGroups(string(text))...)
	}
	hostname := os.Hostname
	if d.Hostname != nil {
		hostname = d.Hostname
	}
	if name, err := hostname(); err == nil && regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(name) {
		out = append(out, name)
	}
	return out
}

// idsOfMounts reads mountinfo, where the fourth field is the file on its own disk and the
// fifth is where it is mounted.
func idsOfMounts(text string) []string {
	id := regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)$`)
	var out []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		switch fields[4] {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
			if found := id.FindStringSubmatch(fields[3]); found != nil {
				out = append(out, found[1])
			}
		}
	}
	return compact(out)
}

// idsOfGroups reads the control groups: a path that ends with the id, as such or as
// docker-ID.scope.
func idsOfGroups(text string) []string {
	id := regexp.MustCompile(`[/-]([0-9a-f]{64})(?:\.scope)?$`)
	var out []string
	for line := range strings.Lines(text) {
		if found := id.FindStringSubmatch(strings.TrimSpace(line)); found != nil {
			out = append(out, found[1])
		}
	}
	return compact(out)
}

// compact leaves out what stands there already.
func compact(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, item := range list {
		if !seen[item] {
			seen[item] = true
			out = append(out, item)
		}
	}
	return out
}
