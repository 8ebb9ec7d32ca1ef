// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"heptapod-paas-runner/internal/secret"
)

// maxGroupPages bounds how many pages of groups are read: 100 groups each.
const maxGroupPages = 1000

// GroupAttributes reads the custom attributes of a top-level group, named by its path or
// its id (GET /groups/:id/custom_attributes, gitlab-runner-api.md section 13). The token must
// be an administrator's. fleet.ErrNotFound when there is no such group, as for the namespace
// of a user.
func (c *Client) GroupAttributes(ctx context.Context, group string, token secret.String) (map[string]secret.String, error) {
	var list []attribute
	if _, err := c.read(ctx, "/groups/"+url.PathEscape(group)+"/custom_attributes", token, &list); err != nil {
		return nil, err
	}
	return attributes(list), nil
}

// Group is a top-level group with its custom attributes.
type Group struct {
	ID         int64
	Path       string
	Attributes map[string]secret.String
}

// TopLevelGroups lists all top-level groups with their custom attributes, page by page.
func (c *Client) TopLevelGroups(ctx context.Context, token secret.String) ([]Group, error) {
	var out []Group
	for page := 1; page <= maxGroupPages; page++ {
		var list []struct {
			ID         int64       `json:"id"`
			Path       string      `json:"full_path"`
			Attributes []attribute `json:"custom_attributes"`
		}
		query := "?top_level_only=true&with_custom_attributes=true&per_page=100&page=" + strconv.Itoa(page)
		next, err := c.read(ctx, "/groups"+query, token, &list)
		if err != nil {
			return nil, err
		}
		for _, g := range list {
			out = append(out, Group{ID: g.ID, Path: g.Path, Attributes: attributes(g.Attributes)})
		}
		if next == "" || len(list) == 0 {
			break
		}
	}
	return out, nil
}

type attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func attributes(list []attribute) map[string]secret.String {
	out := make(map[string]secret.String, len(list))
	for _, a := range list {
		out[a.Key] = secret.New(a.Value)
	}
	return out
}

// read reads JSON with somebody's own token; it gives the number of the next page.
func (c *Client) read(ctx context.Context, path string, token secret.String, into any) (string, error) {
	in := call{
		method: http.MethodGet, path: path, tokenHeader: "Private-Token", token: token,
		accept: "application/json", timeout: c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK || a.html() {
		return "", in.refused(a)
	}
	if a.bodyErr != nil {
		return "", in.unusable("its body is cut: %w", a.bodyErr)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return "", in.unusable("its body is not the JSON asked for: %s", jsonFault(err))
	}
	return a.header.Get("X-Next-Page"), nil
}
