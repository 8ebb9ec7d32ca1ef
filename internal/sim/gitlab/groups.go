// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// listGroups lists the groups, all of which are top-level here, page by page with the
// number of the next page in X-Next-Page.
func (s *Server) listGroups(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	with := query.Get("with_custom_attributes") == "true"
	s.mu.Lock()
	all := []object{}
	for _, path := range slices.Sorted(maps.Keys(s.projects)) {
		if root(path) != path {
			continue
		}
		group := object{"id": s.projects[path], "path": path, "full_path": path, "name": path, "parent_id": nil}
		if with {
			attributes := []object{}
			for _, k := range slices.Sorted(maps.Keys(s.groups[path])) {
				attributes = append(attributes, object{"key": k, "value": s.groups[path][k]})
			}
			group["custom_attributes"] = attributes
		}
		all = append(all, group)
	}
	s.mu.Unlock()
	shown := page(r, all)
	next := ""
	number, err := strconv.Atoi(query.Get("page"))
	if err != nil || number < 1 {
		number = 1
	}
	if size, err := strconv.Atoi(query.Get("per_page")); err != nil || size < 1 {
		if number*20 < len(all) {
			next = strconv.Itoa(number + 1)
		}
	} else if number*min(size, 100) < len(all) {
		next = strconv.Itoa(number + 1)
	}
	reply{status: http.StatusOK, body: shown, headers: map[string]string{"X-Next-Page": next}}.write(w)
}
