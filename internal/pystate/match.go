// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// absent begins the owner mark, and the coordinator, of what belongs to a runner that is
// not in the configuration. No owner of ours begins so.
const absent = "python:"

// errAmbiguous: several runners of the configuration may be meant. Guessing would hand a
// job's token to a strange coordinator, or look for an application in a strange
// organisation and take it for gone.
var errAmbiguous = errors.New("several runners may be meant")

// owned is what is known of the runner that a handle belongs to.
type owned struct {
	owner       fleet.Owner
	name        string
	coordinator string
	configured  bool
}

// match finds the runner of a handle: its token begins with the mark. Of several, the one
// counts whose number of tenants fits the resource, and whose coordinator the job names.
func match(runners []config.Runner, h Handle, payload json.RawMessage) (owned, error) {
	fit := only(runners, func(rc config.Runner) bool {
		return fleet.PythonMark(rc.Token.Reveal()) == h.RunnerName && (rc.Executor == config.ExecutorClever || !h.Resource.onClever())
	})
	if len(fit) > 1 && h.Resource.onClever() {
		fit = only(fit, func(rc config.Runner) bool { return rc.Clever.MultiTenant == (h.Resource.Namespace != "") })
	}
	if len(fit) > 1 {
		fit = only(fit, func(rc config.Runner) bool { return from(rc, payload) })
	}
	switch len(fit) {
	case 0:
		mark := absent + h.RunnerName
		return owned{owner: fleet.Owner(mark), name: h.RunnerName, coordinator: mark}, nil
	case 1:
		return owned{owner: fit[0].Owner, name: fit[0].Name, coordinator: fit[0].Coordinator, configured: true}, nil
	}
	return owned{}, fmt.Errorf("%w by %q: %s; their tokens begin with the same 8 characters, and the Python program "+
		"served only the last of them in its configuration. Leave the others out until its jobs have ended",
		errAmbiguous, h.RunnerName, named(fit))
}

func only(runners []config.Runner, keep func(config.Runner) bool) []config.Runner {
	return slices.DeleteFunc(slices.Clone(runners), func(rc config.Runner) bool { return !keep(rc) })
}

// from tells whether a job can be of a runner's coordinator, by what the job says.
func from(rc config.Runner, payload json.RawMessage) bool {
	if payload == nil {
		return true
	}
	p, err := coordinator.ParsePayload(payload)
	if err != nil {
		return true
	}
	server, _ := p.Variable("CI_SERVER_URL")
	normal, err := fleet.NormalizeURL(server)
	return err != nil || sameHost(normal, rc.Coordinator)
}

// sameHost does not ask for the whole URL: a coordinator may call itself otherwise than
// its runners do, with another scheme or port.
func sameHost(a, b string) bool {
	host := func(url string) string {
		_, rest, _ := strings.Cut(url, "://")
		rest, _, _ = strings.Cut(rest, "/")
		name, _, _ := strings.Cut(rest, ":")
		return name
	}
	return host(a) == host(b)
}

func named(runners []config.Runner) string {
	var out []string
	for _, rc := range runners {
		out = append(out, fmt.Sprintf("%q (line %d)", rc.Name, rc.Line))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
