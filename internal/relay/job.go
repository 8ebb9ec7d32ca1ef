// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// job is what the relay needs to know of the payload, besides its bytes.
type job struct {
	id           int64
	token        string
	dependencies map[int64]string // job id -> the token that opens its artifacts
	hidden       []string         // values that never stand in the job's log
	raw          []byte
}

func readJob(path string, id int64) (*job, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	j, err := parseJob(raw)
	if err != nil {
		return nil, fmt.Errorf("read the job %s: %w", path, err)
	}
	if j.id != id {
		return nil, fmt.Errorf("read the job %s: it is job %d, want %d", path, j.id, id)
	}
	return j, nil
}

func parseJob(raw []byte) (*job, error) {
	var p struct {
		ID           int64  `json:"id"`
		Token        string `json:"token"`
		Dependencies []struct {
			ID    int64  `json:"id"`
			Token string `json:"token"`
		} `json:"dependencies"`
		Variables []struct {
			Value  string `json:"value"`
			Masked bool   `json:"masked"`
		} `json:"variables"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if p.Token == "" {
		return nil, fmt.Errorf("job %d has no token", p.ID)
	}
	j := &job{id: p.ID, token: p.Token, raw: raw, dependencies: map[int64]string{}, hidden: []string{p.Token}}
	for _, d := range p.Dependencies {
		if d.Token != "" {
			j.dependencies[d.ID] = d.Token
		}
	}
	for _, v := range p.Variables {
		if v.Masked && len(v.Value) >= 4 {
			j.hidden = append(j.hidden, v.Value)
		}
	}
	return j, nil
}

// redact takes out of a text what must not stand in a log.
func redact(text string, hidden []string) string {
	for _, h := range hidden {
		if h != "" {
			text = strings.ReplaceAll(text, h, "[redacted]")
		}
	}
	return text
}
