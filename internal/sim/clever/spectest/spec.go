// SPDX-License-Identifier: Apache-2.0

// Package spectest holds answers of the simulated Clever Cloud against the platform's own
// description of version 2 of its API, for tests.
//
// It does not look at requests, nor at version 4, which has no description that can be
// had as a module. The one idea: the description names every field but says of none that
// it must be there or may be null, so the list of fields itself is taken as what a good
// answer has, and each departure from it stands in a table with its reason.
package spectest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	module = "github.com/clevercloud/clevercloud-go" // what the description comes in
	file   = "clevercloud/api/openapi.yaml"
)

// Spec is the description.
type Spec struct {
	doc   *openapi3.T
	paths []path // those with fewer parameters first
}

// path is one path of the description.
type path struct {
	match  *regexp.Regexp
	params int
	item   *openapi3.PathItem
}

// Load reads the description out of the module that ships it.
func Load(ctx context.Context) (*Spec, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("find module %s: %w", module, err)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(strings.TrimSpace(string(dir)), filepath.FromSlash(file)))
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", file, module, err)
	}
	s := &Spec{doc: doc}
	param := regexp.MustCompile(`\\\{[^/}]*\\\}`)
	for name, item := range doc.Paths.Map() {
		text := regexp.QuoteMeta(name)
		s.paths = append(s.paths, path{
			match:  regexp.MustCompile("^" + param.ReplaceAllString(text, "[^/]+") + "$"),
			params: strings.Count(name, "{"), item: item,
		})
	}
	slices.SortFunc(s.paths, func(a, b path) int { return a.params - b.params })
	return s, nil
}

// Check tells what is wrong with an answer; nil for paths that are not described. The
// path is the request's, as it stands in the URL.
func (s *Spec) Check(method, at string, status int, body []byte) error {
	at = strings.TrimPrefix(at, "/bridge")
	below, ok := strings.CutPrefix(at, "/v2")
	if !ok {
		return nil
	}
	schema := s.schema(method, below, status)
	if schema == nil {
		return nil
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&value); err != nil {
		return fmt.Errorf("%s %s answered %d: no JSON: %w", method, at, status, err)
	}
	found := departures(schema, value, "")
	if err := schema.Value.VisitJSON(withoutNull(value), openapi3.MultiErrors()); err != nil {
		found = append(found, err)
	}
	if found == nil {
		return nil
	}
	return fmt.Errorf("%s %s answered %d, which is not as described: %w\n%s", method, at, status, errors.Join(found...), body)
}

// schema finds what an answer must look like: every error is a Message.
func (s *Spec) schema(method, below string, status int) *openapi3.SchemaRef {
	if status >= http.StatusBadRequest {
		return &openapi3.SchemaRef{Ref: "#/components/schemas/Message", Value: s.doc.Components.Schemas["Message"].Value}
	}
	for _, p := range s.paths {
		if !p.match.MatchString(below) {
			continue
		}
		operation := p.item.GetOperation(method)
		if operation == nil {
			continue
		}
		response := operation.Responses.Status(status)
		if response == nil {
			response = operation.Responses.Default()
		}
		if response == nil || response.Value == nil || response.Value.Content.Get("application/json") == nil {
			return nil
		}
		schema := response.Value.Content.Get("application/json").Schema
		if schema == nil || schema.Value.Type.Is("string") {
			return nil // says "string" of whatever it does not know, such as lists of variables by name
		}
		return schema
	}
	return nil
}

// withoutNull leaves out what is null: the description knows no null, and the platform
// sends it.
func withoutNull(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, field := range v {
			if field != nil {
				out[name] = withoutNull(field)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withoutNull(v[i])
		}
		return out
	}
	return value
}
