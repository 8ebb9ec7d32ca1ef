// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/fleet"
)

// replaced names executors that are not ours, with what to write instead.
var replaced = map[string]string{
	"clever-service-docker": `it is replaced by "clever-docker"`,
	"service-docker":        `it was for tests only; use "local-docker"`,
}

// runners reads the [[runners]] sections.
func (f *file) runners(r *reader) []Runner {
	v, _, ok := r.get(secRunner)
	if !ok {
		f.problem("", "", "no [[runners]] section; add one with heptapod-paas-runner-register or by hand")
		return nil
	}
	tables, ok := v.([]map[string]any)
	if !ok {
		f.problem(secRunner, secRunner, "found %s, want [[runners]] sections (with two brackets)", kind(v))
		return nil
	}
	watch := r.table["job_trace_watch"]
	if _, isTable := watch.(map[string]any); isTable {
		r.taken["job_trace_watch"] = true // for all runners that have none of their own
	}
	var out []Runner
	owners := map[fleet.Owner]int{}
	for i, table := range tables {
		rr := f.reader(table, fmt.Sprintf("%s[%d]", secRunner, i))
		rc := f.runner(rr, watch)
		if first, twice := owners[rc.Owner]; twice && rc.Owner != "" {
			f.problem(rr.path, "token", "the section in line %d has the same token and URL; two sections of one registration can't be told apart", first)
		}
		owners[rc.Owner] = rc.Line
		out = append(out, rc)
	}
	return out
}

func (f *file) runner(r *reader, watch any) Runner {
	rc := Runner{
		Line: f.at.at(r.path), Name: r.text("name"), URL: r.text("url"), Token: r.secret("token", true),
		Executor: r.text("executor"),
		Limit:    r.whole("limit", 0, 0), RequestConcurrency: r.whole("request_concurrency", 1, 1),
		TLSCAFile: r.filePath("tls-ca-file"), TLSCertFile: r.filePath("tls-cert-file"), TLSKeyFile: r.filePath("tls-key-file"),
		StrictAdmission: r.choice("admission", "park", "park", "strict") == "strict",
		SubRunner:       r.choice("sub_runner", ModeRelay, ModeRelay, ModeExec),
		MainImage:       r.str("heptapod_runner_main_image", DefaultMainImage),
		RelaySubnet:     r.str("paas_relay_subnet", ""),
	}
	if (rc.TLSCertFile == "") != (rc.TLSKeyFile == "") {
		r.bad("tls-cert-file", "tls-cert-file and tls-key-file go together; one is missing")
	}
	if rc.RelaySubnet != "" {
		if _, err := netip.ParsePrefix(rc.RelaySubnet); err != nil {
			r.bad("paas_relay_subnet", "found %q, want a subnet such as 10.200.0.0/24", rc.RelaySubnet)
		}
	}
	r.str("heptapod_paas_runner_helper_image", "")
	if r.seconds("paas_keep_resources_for_reuse_seconds", 0, 0) > 0 {
		f.warn(r.full("paas_keep_resources_for_reuse_seconds"), "paas_keep_resources_for_reuse_seconds: accepted, without effect: each job gets a fresh instance")
	}
	f.identity(r, &rc)
	f.executor(r, &rc)
	rc.TraceWatch = f.watch(r, watch)
	rc.Forward = r.forward()
	return rc
}

// identity computes the coordinator's normal form and the owner.
func (f *file) identity(r *reader, rc *Runner) {
	if rc.URL != "" {
		normal, err := fleet.NormalizeURL(rc.URL)
		if err != nil {
			r.bad("url", "%v", err)
		}
		rc.Coordinator = normal
	}
	if strings.TrimSpace(rc.Token.Reveal()) != rc.Token.Reveal() {
		r.bad("token", "begins or ends with white space")
	}
	pinned := r.str("paas_owner", "")
	var err error
	switch {
	case pinned != "":
		rc.Owner, err = fleet.ParseOwner(pinned)
		if err != nil {
			r.bad("paas_owner", "%v", err)
		}
	case rc.Coordinator != "" && !rc.Token.Empty():
		rc.Owner, _ = fleet.OwnerOf(rc.Token.Reveal(), rc.Coordinator) // the URL was checked above
	}
}

func (f *file) executor(r *reader, rc *Runner) {
	allowed := []string{"clever-docker", "local-docker"}
	switch {
	case rc.Executor == "clever-docker":
		rc.Clever = f.clever(r)
	case rc.Executor == "local-docker":
		for key := range r.table {
			if strings.HasPrefix(key, "cc_") {
				r.taken[key] = true
			}
		}
	case rc.Executor == "":
	case replaced[rc.Executor] != "":
		r.bad("executor", "found %q: %s", rc.Executor, replaced[rc.Executor])
	default:
		r.bad("executor", "found %q, want one of: %s%s", rc.Executor, strings.Join(allowed, ", "), nearest(rc.Executor, allowed))
	}
}

func (f *file) clever(r *reader) Clever {
	c := Clever{
		APIURL: r.str("cc_api_url", "https://api.clever-cloud.com/v2"), Zone: r.str("cc_zone", "par"),
		DefaultFlavor: r.str("cc_default_flavor", "M"), MaxFlavor: r.str("cc_max_flavor", ""),
		FlavorContext: r.str("cc_flavor_context", "heptapod-runner"), FlavorNamePrefix: r.str("cc_flavor_name_prefix", ""),
		VariantUUID: r.str("cc_instance_variant_uuid", "70d676a0-a775-4dc9-a43d-3121036e8515"),
		AuthUser:    r.str("cc_auth_user", "Jenkins"),
		RepoTimeout: r.seconds("cc_deployment_repo_timeout", 20, 0.01), RepoWaitStep: r.seconds("cc_deployment_repo_wait_step", 2, 0.01),
		ExtraEnv: f.extraEnv(r), MultiTenant: r.yes("cc_multi_tenant", false),
		OrgaIDAttribute: r.str("cc_orga_id_attribute", "cc_orga_id"), OrgaTokenAttribute: r.str("cc_orga_token_attribute", "cc_orga_token"),
		NamespaceToken: r.secret("cc_gitlab_namespace_attributes_token", false),
	}
	if c.MultiTenant {
		r.taken["cc_orga_id"], r.taken["cc_token"], r.taken["cc_token_file"] = true, true, true
		r.bad("cc_multi_tenant", "the multi-tenant mode is not in this release; set cc_orga_id and cc_token instead")
		return c
	}
	c.OrgaID, c.Token = r.text("cc_orga_id"), r.secret("cc_token", true)
	r.unknownOurs()
	return c
}

func (f *file) extraEnv(r *reader) map[string]string {
	sub := r.sub("cc_extra_env")
	out := map[string]string{}
	if sub != nil {
		for _, name := range slices.Sorted(maps.Keys(sub.table)) {
			out[name] = sub.str(name, "")
		}
	}
	if _, there := out["CC_ENABLE_HEPTAPOD_RUNNER"]; !there {
		f.warn(r.full("cc_extra_env"), `cc_extra_env: CC_ENABLE_HEPTAPOD_RUNNER = "true" is missing; Clever Cloud needs it for now`)
	}
	return out
}

// watch reads the trace watch of a runner: its own, in either spelling, or the file's.
func (f *file) watch(r *reader, global any) TraceWatch {
	w := r.sub("job_trace_watch", "paas_job_trace_watch")
	if table, ok := global.(map[string]any); w == nil && ok {
		w = f.reader(table, "job_trace_watch")
	}
	if w == nil {
		w = f.reader(map[string]any{}, r.path)
	}
	out := TraceWatch{
		Token:   w.secret("token", false),
		Timeout: w.seconds("timeout_seconds", 300, 1, "timout_seconds"), PollStep: w.seconds("poll_step", 10, 0.01),
	}
	w.leftovers(namesOf(secWatch))
	return out
}

// unknownOurs reports keys that look like ours and are not: they would be dropped.
func (r *reader) unknownOurs() {
	for _, key := range slices.Sorted(maps.Keys(r.table)) {
		if !r.taken[key] && strings.HasPrefix(key, "cc_") {
			r.bad(key, "unknown key%s", nearest(key, namesOf(secRunner)))
		}
	}
}

// forward is what the sub-runner gets of the section: all but our own keys.
func (r *reader) forward() map[string]any {
	out := map[string]any{}
	for key, value := range r.table {
		ours := strings.HasPrefix(key, "cc_") || strings.HasPrefix(key, "paas_") || strings.HasPrefix(key, "paas-") ||
			slices.Contains(namesOf(secRunner), key)
		if !ours || slices.Contains(forwardedToo(), key) {
			out[key] = value
		}
	}
	return out
}
