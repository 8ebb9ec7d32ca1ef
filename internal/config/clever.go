// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/secret"
)

// clever reads the keys of the executor clever-docker.
func (f *file) clever(r *reader) Clever {
	c := Clever{
		APIURL: r.url("cc_api_url"), Zone: r.text("cc_zone"),
		DefaultFlavor: r.text("cc_default_flavor"), MaxFlavor: r.text("cc_max_flavor"), AllowedFlavors: r.list("cc_allowed_flavors"),
		FlavorContext: r.text("cc_flavor_context"), FlavorNamePrefix: r.text("cc_flavor_name_prefix"),
		VariantUUID: r.text("cc_instance_variant_uuid"), AuthUser: r.text("cc_auth_user"),
		RepoTimeout: r.seconds("cc_deployment_repo_timeout"), RepoWaitStep: r.seconds("cc_deployment_repo_wait_step"),
		ExtraEnv:           f.extraEnv(r),
		MultiTenant:        r.yes("cc_multi_tenant"),
		NamespaceToken:     r.secret("cc_gitlab_namespace_attributes_token"),
		OrgaIDAttribute:    r.text("cc_orga_id_attribute"),
		OrgaTokenAttribute: r.text("cc_orga_token_attribute"),
	}
	c.Auth = f.auth(r, c.APIURL)
	r.otherMode(c.MultiTenant)
	if c.MultiTenant {
		const key = "cc_gitlab_namespace_attributes_token"
		if !r.has(key) || r.table[key] == "" { // what is wrong with another value is told already
			r.bad(key, "missing; the multi-tenant mode reads each top-level group's attributes with it")
		}
		if c.OrgaIDAttribute == c.OrgaTokenAttribute && c.OrgaIDAttribute != "" {
			r.bad("cc_orga_token_attribute", "the same attribute (%s) as cc_orga_id_attribute: the one is shown, the other is a secret", c.OrgaTokenAttribute)
		}
		return c
	}
	c.OrgaID, c.Token = r.text("cc_orga_id"), r.tenant(c.Auth)
	return c
}

// otherMode tells of keys that are for one organisation in the mode of many, and the other
// way round.
func (r *reader) otherMode(many bool) {
	keys, why := []string{"cc_gitlab_namespace_attributes_token", "cc_orga_id_attribute", "cc_orga_token_attribute"}, "it is for cc_multi_tenant = true"
	if many {
		keys, why = []string{"cc_orga_id", "cc_token"}, "with cc_multi_tenant = true each job's top-level group names its organisation"
	}
	for _, key := range keys {
		if r.has(key) {
			r.warn(r.spelled(key), "has no effect: %s", why)
			r.taken[key], r.taken[key+fileSuffix] = true, true
		}
	}
}

// harmless is the form of what is shown as an id, and goes into paths; payer that of the
// ids which Clever Cloud gives to who can pay.
var (
	harmless = regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)
	payer    = regexp.MustCompile(`^(orga|user)_`)
)

// Unconnected tells why a top-level group is not connected to an organisation by these
// attributes; "" when it is. An id is shown everywhere: where the two are mixed up, nothing
// of them is.
func (c Clever) Unconnected(attributes map[string]secret.String) (problem string) {
	if missing := c.missingAttributes(attributes); len(missing) > 0 {
		return "has no attribute " + strings.Join(missing, " and ")
	}
	id, token := attributes[c.OrgaIDAttribute].Reveal(), attributes[c.OrgaTokenAttribute].Reveal()
	if mixed := !payer.MatchString(id) && payer.MatchString(token); mixed || !harmless.MatchString(id) {
		return "has an attribute " + c.OrgaIDAttribute + " that is no id of an organisation (orga_...)"
	}
	return ""
}

// missingAttributes names the attributes that a top-level group lacks to be connected to an
// organisation. A runner that acts as one user for all tenants needs no token of theirs.
func (c Clever) missingAttributes(attributes map[string]secret.String) []string {
	var missing []string
	if attributes[c.OrgaIDAttribute].Empty() {
		missing = append(missing, c.OrgaIDAttribute)
	}
	if attributes[c.OrgaTokenAttribute].Empty() && !c.Auth.OwnUser() {
		missing = append(missing, c.OrgaTokenAttribute)
	}
	return missing
}

// extraEnv reads the environment of the applications.
func (f *file) extraEnv(r *reader) map[string]string {
	out := map[string]string{}
	if sub := r.sub("cc_extra_env", ""); sub != nil {
		for _, name := range slices.Sorted(maps.Keys(sub.table)) {
			if distinct(name) {
				sub.bad(name, "stands in %s, which is given to every instance; move it %s", header(sub.path), place(name))
				continue
			}
			if name == "" || strings.ContainsAny(name, "=\x00\r\n") {
				sub.bad(name, "%q is no name of an environment variable", name)
			}
			if value, ok := sub.stringOf(found{name: name, value: sub.table[name]}); ok {
				out[name] = value
			}
		}
	}
	if !enables(r.table["cc_extra_env"]) {
		r.warn("cc_extra_env", `CC_ENABLE_HEPTAPOD_RUNNER = "true" is missing in it; Clever Cloud needs it for now`)
	}
	return out
}

// enables tells whether an environment sets what Clever Cloud needs. What is no table, or
// has another value than a text there, is wrong anyway, and told by itself.
func enables(environment any) bool {
	table, isTable := environment.(map[string]any)
	_, there := table["CC_ENABLE_HEPTAPOD_RUNNER"]
	return there || environment != nil && !isTable
}
