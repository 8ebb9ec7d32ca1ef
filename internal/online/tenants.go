// SPDX-License-Identifier: Apache-2.0

package online

import (
	"context"
	"errors"
	"fmt"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

const attributesKey = "cc_gitlab_namespace_attributes_token"

// tenants asks the coordinator which top-level groups are connected to an organisation,
// and about the token that tells.
func (q *questions) tenants(ctx context.Context, client *coordinator.Client) ([]Finding, []payer) {
	cc := q.runner.Clever
	out := q.reader(ctx, client, attributesKey, cc.NamespaceToken)
	if out[0].Level != Good {
		return out, nil
	}
	limited, cancel := q.limited(ctx)
	defer cancel()
	groups, err := client.TopLevelGroups(limited, cc.NamespaceToken)
	if err == nil {
		err = q.mayRead(limited, client, groups)
	}
	switch {
	case errors.Is(err, fleet.ErrUnauthorized):
		return append(out[1:], q.found(Wrong, "%s: it may not read the attributes of groups, which takes an administrator (%v)", attributesKey, err)...), nil
	case err != nil:
		return append(out[1:], q.failed(attributesKey, err)...), nil
	}
	var payers []payer
	for _, g := range groups {
		problem := cc.Unconnected(g.Attributes)
		org := g.Attributes[cc.OrgaIDAttribute].Reveal() // an organisation's id is no secret
		switch {
		case problem == "":
			payers = append(payers, payer{
				tenant: cloud.Tenant{ID: org, Token: g.Attributes[cc.OrgaTokenAttribute]},
				name:   fmt.Sprintf("%.80s (group %s)", org, g.Path),
			})
		case org != "" || !g.Attributes[cc.OrgaTokenAttribute].Empty():
			out = append(out, q.found(Warning, "group %s %s; its jobs will fail", g.Path, problem)...)
		}
	}
	if len(payers) == 0 {
		return append(out, q.found(Warning, "no top-level group is connected to an organisation by its attributes %s and %s: every job will fail",
			cc.OrgaIDAttribute, cc.OrgaTokenAttribute)...), nil
	}
	return out, payers
}

// mayRead proves that attributes are shown at all: without the right to see them groups
// look as if they had none.
func (q *questions) mayRead(ctx context.Context, client *coordinator.Client, groups []coordinator.Group) error {
	for _, g := range groups {
		if len(g.Attributes) > 0 {
			return nil
		}
	}
	if len(groups) == 0 {
		return nil
	}
	_, err := client.GroupAttributes(ctx, groups[0].Path, q.runner.Clever.NamespaceToken)
	return err
}
