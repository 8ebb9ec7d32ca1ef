// SPDX-License-Identifier: Apache-2.0

package spectest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// newer lists fields that are not described, since the description is of 2021: those
// that the platform's clients of today read, by the name of what they are in.
func newer() map[string][]string {
	return map[string][]string{
		"ApplicationView":       {"env", "zoneId"},
		"AddonView":             {"zoneId"},
		"AddonSummary":          {"realId"},
		"Message":               {"fields"},
		"OAuth1AccessTokenView": {"expirationDate"},
	}
}

// partial lists what is sent without all its fields.
func partial() []string {
	return []string{
		"InvoiceRendering", // of a preorder: what an invoice would be, of which clients read the totals
	}
}

// departures lists fields that are not described and fields that are missing.
func departures(schema *openapi3.SchemaRef, value any, at string) []error {
	if schema == nil || schema.Value == nil {
		return nil
	}
	var found []error
	switch v := value.(type) {
	case []any:
		for i, element := range v {
			found = append(found, departures(schema.Value.Items, element, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		if schema.Value.AdditionalProperties.Schema != nil || len(schema.Value.Properties) == 0 {
			return nil // a map
		}
		kind := schema.Ref[strings.LastIndex(schema.Ref, "/")+1:]
		for _, name := range slices.Sorted(maps.Keys(v)) {
			described := schema.Value.Properties[name]
			if described == nil && !slices.Contains(newer()[kind], name) {
				found = append(found, fmt.Errorf("%s.%s: %s has no such field", at, name, kind))
			}
			found = append(found, departures(described, v[name], at+"."+name)...)
		}
		for _, name := range slices.Sorted(maps.Keys(schema.Value.Properties)) {
			if _, there := v[name]; !there && !slices.Contains(partial(), kind) {
				found = append(found, fmt.Errorf("%s.%s: missing from %s", at, name, kind))
			}
		}
	}
	return found
}
