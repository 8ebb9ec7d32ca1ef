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
)

// rewriteImages lets a job pull Docker Hub images through its group's Dependency
// Proxy, if it has one. Everything else of the payload stays as it is, byte for
// byte when nothing is rewritten.
func rewriteImages(payload []byte) ([]byte, error) {
	var job map[string]json.RawMessage
	if err := json.Unmarshal(payload, &job); err != nil {
		return nil, fmt.Errorf("decode the job: %w", err)
	}
	variables := variablesOf(job["variables"])
	prefix := strings.TrimSuffix(variables[proxyVariable], "/")
	if prefix == "" {
		return payload, nil
	}
	p := proxy{prefix: prefix, variables: variables}
	changed := false
	if image, ok := p.image(job["image"], false); ok {
		job["image"], changed = image, true
	}
	var services []json.RawMessage
	if json.Unmarshal(job["services"], &services) == nil {
		for i, service := range services {
			if rewritten, ok := p.image(service, true); ok {
				services[i], changed = rewritten, true
			}
		}
	}
	if !changed {
		return payload, nil
	}
	if len(services) > 0 {
		list, err := encode(services)
		if err != nil {
			return nil, err
		}
		job["services"] = list
	}
	return encode(job)
}

type proxy struct {
	prefix    string
	variables map[string]string
}

// image rewrites an image or service object. A service that had no alias gets the
// one that its old name implied, since jobs know it by that.
func (p proxy) image(raw json.RawMessage, service bool) (json.RawMessage, bool) {
	var object map[string]json.RawMessage
	var name string
	if json.Unmarshal(raw, &object) != nil || json.Unmarshal(object["name"], &name) != nil || name == "" {
		return nil, false
	}
	steps := maxSteps
	expanded := expand(name, p.variables, &steps)
	remainder, ok := onHub(expanded)
	if !ok || steps == 0 || len(expanded) > maxExpansion {
		return nil, false
	}
	var err error
	if object["name"], err = encode(p.prefix + "/" + remainder); err != nil {
		return nil, false
	}
	var alias string
	if service && (json.Unmarshal(object["alias"], &alias) != nil || alias == "") {
		if object["alias"], err = encode(aliasOf(expanded)); err != nil {
			return nil, false
		}
	}
	out, err := encode(object)
	return out, err == nil
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
// variables that hold each other cost nothing.
func expand(text string, variables map[string]string, steps *int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found || *steps == 0 || b.Len() > maxExpansion {
			return b.String()
		}
		*steps--
		name, rest := variableName(after)
		b.WriteString(expand(variables[name], variables, steps))
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

func encode(value any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode the job: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
