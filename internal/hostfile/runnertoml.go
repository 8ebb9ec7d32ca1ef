// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// The relay replaces these two in its own copy of runner.toml, once it knows its
// address and the job's network.
const (
	urlPlaceholder     = "http://relay.invalid"
	networkPlaceholder = "paas-relay-network-placeholder"
)

// runnerTOML writes the sub-runner's configuration: one [[runners]] section, no
// global key.
func runnerTOML(h Host) ([]byte, error) {
	section := forwarded(h.Forward)
	section["name"] = h.RunnerName
	section["token"] = h.StandIn.Reveal()
	section["executor"] = "docker"
	section["url"] = cmp.Or(h.CoordinatorURL, h.Coordinator)
	for _, f := range h.tlsFiles() {
		section[f.key] = Folder + f.name
	}
	if err := overlay(section, h.Docker); err != nil {
		return nil, err
	}
	if h.Mode == ModeRelay {
		section["url"] = urlPlaceholder
		docker, err := table(section, "docker")
		if err != nil {
			return nil, err
		}
		deleteFold(docker, "network_mode")
		docker["network_mode"] = networkPlaceholder
		// The runner derives Git's credential rules from its own url, which here is
		// the relay's: without clone_url, submodules would be asked for without them.
		if h.Git && !hasFold(section, "clone_url") {
			section["clone_url"] = h.Coordinator
		}
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(map[string]any{"runners": []map[string]any{section}}); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

// overlay lays values over [runners.docker], whatever the case of the keys there.
func overlay(section, over map[string]any) error {
	if len(over) == 0 {
		return nil
	}
	docker, err := table(section, "docker")
	if err != nil {
		return err
	}
	for key, value := range over {
		inner, isTable := value.(map[string]any)
		if !isTable {
			deleteFold(docker, key)
			docker[key] = value
			continue
		}
		there, err := table(docker, key)
		if err != nil {
			return err
		}
		maps.Copy(there, inner) // labels: their case counts
	}
	return nil
}

// replaced are the keys that we set ourselves, and those that speak of the
// runner's real token. The TLS ones name files of the manager's computer.
func replaced() []string {
	return []string{
		"name", "url", "token", "token_obtained_at", "token_expires_at", "executor",
		"tls-ca-file", "tls-cert-file", "tls-key-file",
	}
}

// ownKeys are the keys of this program that have no prefix of ours, and others that the
// sub-runner has no use for.
func ownKeys() []string {
	return []string{
		"sub_runner", "admission", "job_trace_watch",
		"heptapod_runner_main_image", "heptapod_paas_runner_helper_image",
		"machine", "autoscaler", // of executors that make machines: they may hold a cloud's credentials
	}
}

// forwarded copies a section deeply, without what must not travel. The reader of
// the result matches keys without regard to case, and so do we. The configuration
// leaves these keys out already; a credential deserves the second lock (I7).
func forwarded(section map[string]any) map[string]any {
	out := make(map[string]any, len(section))
	for key, value := range section {
		lower := strings.ToLower(key)
		if strings.HasPrefix(lower, "cc_") || strings.HasPrefix(lower, "paas_") || strings.HasPrefix(lower, "paas-") ||
			slices.Contains(replaced(), lower) || slices.Contains(ownKeys(), lower) {
			continue
		}
		out[key] = clone(value)
	}
	return out
}

// clone copies what a TOML decoder can have produced.
func clone(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = clone(item)
		}
		return out
	case []map[string]any:
		out := make([]map[string]any, len(v))
		for i, item := range v {
			out[i] = clone(item).(map[string]any)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	}
	return value
}

// table gives the sub-table of that name, made if missing, under exactly this
// spelling.
func table(section map[string]any, name string) (map[string]any, error) {
	var found []string
	for key := range section {
		if strings.EqualFold(key, name) {
			found = append(found, key)
		}
	}
	if len(found) > 1 {
		slices.Sort(found)
		return nil, fmt.Errorf("table [runners.%s] is there more than once: %s", name, strings.Join(found, ", "))
	}
	if len(found) == 0 {
		made := map[string]any{}
		section[name] = made
		return made, nil
	}
	sub, ok := section[found[0]].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("runners.%s is not a table", name)
	}
	delete(section, found[0])
	section[name] = sub
	return sub, nil
}

func hasFold(section map[string]any, name string) bool {
	for key := range section {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

func deleteFold(section map[string]any, name string) {
	for key := range section {
		if strings.EqualFold(key, name) {
			delete(section, key)
		}
	}
}
