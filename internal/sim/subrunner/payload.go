// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// payload is a job as the coordinator hands it out, as far as it is read here.
type payload struct {
	ID         int64  `json:"id"`
	Token      string `json:"token"`
	RunnerInfo struct {
		Timeout int `json:"timeout"`
	} `json:"runner_info"`
	JobInfo struct {
		Name string `json:"name"`
	} `json:"job_info"`
	GitInfo      gitInfo      `json:"git_info"`
	Variables    []Variable   `json:"variables"`
	Steps        []step       `json:"steps"`
	Artifacts    []artifact   `json:"artifacts"`
	Dependencies []dependency `json:"dependencies"`
	Features     struct {
		FailureReasons    []string `json:"failure_reasons"`
		TokenMaskPrefixes []string `json:"token_mask_prefixes"`
	} `json:"features"`
}

type gitInfo struct {
	RepoURL  string   `json:"repo_url"`
	Ref      string   `json:"ref"`
	SHA      string   `json:"sha"`
	Refspecs []string `json:"refspecs"`
	Depth    int      `json:"depth"`
}

// Variable is one variable of a job.
type Variable struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Public bool   `json:"public"`
	File   bool   `json:"file"`
	Masked bool   `json:"masked"`
	Raw    bool   `json:"raw"`
}

type step struct {
	Name         string   `json:"name"`
	Script       []string `json:"script"`
	AllowFailure bool     `json:"allow_failure"`
}

type artifact struct {
	Name     string   `json:"name"`
	Paths    []string `json:"paths"`
	Exclude  []string `json:"exclude"`
	When     string   `json:"when"`
	ExpireIn string   `json:"expire_in"`
	Type     string   `json:"artifact_type"`
	Format   string   `json:"artifact_format"`
}

type dependency struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	Token         string `json:"token"`
	ArtifactsFile struct {
		Filename string `json:"filename"`
		Size     int64  `json:"size"`
	} `json:"artifacts_file"`
}

func parsePayload(raw []byte) (*payload, error) {
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	if p.ID <= 0 || p.Token == "" {
		return nil, fmt.Errorf("read the job: no id or no token")
	}
	return &p, nil
}

// script gives the lines of the step of that name.
func (p *payload) script(name string) []string {
	for _, s := range p.Steps {
		if s.Name == name {
			return s.Script
		}
	}
	return nil
}

// variable gives the last variable of that key.
func (p *payload) variable(key string) string {
	for _, v := range slices.Backward(p.Variables) {
		if v.Key == key {
			return v.Value
		}
	}
	return ""
}

// secrets lists what must never show up in the trace.
func (p *payload) secrets() []string {
	list := []string{p.Token}
	for _, v := range p.Variables {
		if v.Masked && v.Value != "" {
			list = append(list, v.Value)
		}
	}
	return list
}

// expand replaces $X and ${X} by the values of other variables, as often as there
// is something to replace, but not for ever.
func expand(text string, values map[string]string) string {
	const rounds = 5
	for range rounds {
		next := expandOnce(text, values)
		if next == text {
			break
		}
		text = next
	}
	return text
}

func expandOnce(text string, values map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '$' {
			out.WriteByte(text[i])
			i++
			continue
		}
		name, width := variableName(text[i+1:])
		switch {
		case strings.HasPrefix(text[i+1:], "$"):
			out.WriteString("$$")
			i += 2
		case name == "":
			out.WriteByte('$')
			i++
		default:
			out.WriteString(values[name])
			i += 1 + width
		}
	}
	return out.String()
}

// variableName reads NAME or {NAME} and tells how many bytes it took.
func variableName(text string) (string, int) {
	inner, braced := strings.CutPrefix(text, "{")
	n := 0
	for n < len(inner) && (inner[n] == '_' || inner[n]|0x20 >= 'a' && inner[n]|0x20 <= 'z' || n > 0 && inner[n] >= '0' && inner[n] <= '9') {
		n++
	}
	if !braced {
		return inner[:n], n
	}
	if n == len(inner) || inner[n] != '}' {
		return "", 0
	}
	return inner[:n], n + 2
}
