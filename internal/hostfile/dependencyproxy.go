// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	proxyVariable = "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"
	hub           = "docker.io"
	maxExpansion  = 4096 // characters; longer names are left as they are
	maxSteps      = 1000 // variables replaced in one name; they may hold each other
	maxAllSteps   = 100 * maxSteps
)

// rewriteImages lets a job pull Docker Hub images through its group's Dependency
// Proxy, if it has one. Only the names, and aliases that a name implied, are
// spliced; every other byte of the payload stays as it is.
func rewriteImages(payload []byte) ([]byte, error) {
	job, err := members(payload)
	if err != nil {
		return nil, fmt.Errorf("decode the job: %w", err)
	}
	variables := variablesOf(job.value(payload, "variables"))
	prefix := strings.TrimSuffix(variables[proxyVariable], "/")
	if prefix == "" {
		return payload, nil
	}
	p := &proxy{prefix: prefix, variables: variables, steps: maxAllSteps}
	var edits []edit
	if at, ok := job["image"]; ok {
		edits = append(edits, p.image(payload, at, false)...)
	}
	if at, ok := job["services"]; ok {
		for _, service := range elements(payload, at) {
			edits = append(edits, p.image(payload, service, true)...)
		}
	}
	return splice(payload, edits), nil
}

type proxy struct {
	prefix    string
	variables map[string]string
	steps     int // variables that may still be replaced in the whole job
}

// image gives the edits for an image or service object. A service that had no alias
// gets the one that its old name implied, since jobs know it by that.
func (p *proxy) image(payload []byte, at span, service bool) []edit {
	object, err := membersIn(payload, at)
	var name string
	if err != nil || json.Unmarshal(object.value(payload, "name"), &name) != nil || name == "" {
		return nil
	}
	steps := min(maxSteps, p.steps)
	before := steps
	expanded := expand(name, p.variables, &steps)
	p.steps -= before - steps
	remainder, ok := onHub(expanded)
	if !ok || steps == 0 && strings.Contains(name, "$") || len(expanded) > maxExpansion {
		return nil
	}
	edits := []edit{{object["name"], quote(p.prefix + "/" + remainder)}}
	if !service {
		return edits
	}
	var alias string
	where, there := object["alias"]
	switch {
	case there && json.Unmarshal(object.value(payload, "alias"), &alias) == nil && alias == "":
		edits = append(edits, edit{where, quote(aliasOf(expanded))})
	case !there:
		after := span{at.start + 1, at.start + 1} // behind the opening brace
		edits = append(edits, edit{after, append(append([]byte(`"alias":`), quote(aliasOf(expanded))...), ',')})
	}
	return edits
}

// onHub gives the name of an image on Docker Hub without its domain, by the rule
// of Docker's references: what stands before the first slash is a domain if it
// looks like one.
func onHub(name string) (string, bool) {
	first, rest, found := strings.Cut(name, "/")
	if found && (strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first) {
		if first != hub && first != "index."+hub {
			return "", false
		}
		name = rest
	}
	if name == "" {
		return "", false
	}
	if !strings.Contains(name, "/") {
		name = "library/" + name
	}
	return name, true
}

// aliasOf gives the host name by which a service of that image is known.
func aliasOf(name string) string {
	for _, domain := range []string{hub + "/", "index." + hub + "/"} {
		name = strings.TrimPrefix(name, domain)
	}
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return strings.ReplaceAll(name, "/", "-")
}

// expand replaces $NAME and ${NAME} by the job's variables, values included;
// unknown ones become empty. It gives up when steps are used up, so that
// variables that hold each other cost nothing, and gives no more than one character too many.
func expand(text string, variables map[string]string, steps *int) string {
	var b strings.Builder
	add := func(text string) { b.WriteString(text[:min(len(text), maxExpansion+1-b.Len())]) }
	for {
		before, after, found := strings.Cut(text, "$")
		add(before)
		if !found || *steps == 0 || b.Len() > maxExpansion {
			return b.String()
		}
		*steps--
		name, rest := variableName(after)
		add(expand(variables[name], variables, steps))
		text = rest
	}
}

func variableName(text string) (name, rest string) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		name, rest, _ = strings.Cut(inner, "}")
		return name, rest
	}
	end := strings.IndexFunc(text, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// variablesOf reads the job's variables; a later one of the same key counts.
func variablesOf(raw json.RawMessage) map[string]string {
	var list []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, v := range list {
		out[v.Key] = v.Value
	}
	return out
}

// quote gives a string as JSON.
func quote(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded, and memory be written
	return bytes.TrimRight(b.Bytes(), "\n")
}
