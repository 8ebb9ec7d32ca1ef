// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strings"

	"heptapod-paas-runner/internal/fleet"
)

// runners reads the [[runners]] sections.
func (f *file) runners(r *reader) []Runner {
	tables, ok := f.sections(r)
	if !ok {
		return nil
	}
	watch := TraceWatch{Timeout: DefaultTraceTimeout, PollStep: DefaultTracePollStep}
	watch = f.watch(r, watch) // the file's, for what a section does not say itself
	var out []Runner
	for i, table := range tables {
		rr := f.reader(secRunner, element(secRunner, i), table)
		rc := f.runner(rr, watch)
		f.twins(rr, rc, out)
		out = append(out, rc)
	}
	f.adviseWatch(r, watch, out)
	return out
}

// sections gives the tables, in whichever way they are written.
func (f *file) sections(r *reader) ([]map[string]any, bool) {
	r.taken[secRunner] = true
	value := r.table[secRunner]
	if list, ok := value.([]any); ok {
		var tables []map[string]any
		for i, item := range list {
			table, ok := item.(map[string]any)
			if !ok {
				f.problem(element(secRunner, i), secRunner, "found %s in the list, want tables", what(item))
				return nil, false
			}
			tables = append(tables, table)
		}
		value = tables
	}
	tables, ok := value.([]map[string]any)
	switch {
	case value != nil && !ok:
		r.bad(secRunner, "found %s, want [[runners]] sections (with two brackets)", what(value))
		return nil, false
	case len(tables) == 0:
		f.problem("", "", "no [[runners]] section; register a runner at the coordinator and add one with its url and token")
		return nil, false
	}
	return tables, true
}

// twins reports what two sections must not have in common.
func (f *file) twins(r *reader, rc Runner, before []Runner) {
	for _, other := range before {
		switch {
		case !rc.Token.Empty() && rc.Token == other.Token && rc.Coordinator == other.Coordinator:
			r.bad("token", "the section in line %d has the same token and URL; two sections of one registration can't be told apart", other.Line)
		case rc.Owner != "" && rc.Owner == other.Owner:
			r.bad("paas_owner", "the section in line %d has the same owner %s; their instances can't be told apart", other.Line, rc.Owner)
		}
		if rc.Name != "" && rc.Name == other.Name {
			r.warn("name", "the section in line %d has the same name; logs and reference_runner can't tell them apart", other.Line)
		}
	}
}

func (f *file) runner(r *reader, watch TraceWatch) Runner {
	rc := Runner{
		Line: f.at.at(r.path), Name: r.text("name"), URL: r.url("url"), Token: r.secret("token"), Executor: r.text("executor"),
		Limit: r.count("limit"), RequestConcurrency: max(1, r.count("request_concurrency")),
		TLSCAFile: r.filePath("tls-ca-file"), TLSCertFile: r.filePath("tls-cert-file"), TLSKeyFile: r.filePath("tls-key-file"),
		StrictAdmission: r.choice("admission") == AdmissionStrict,
		SubRunner:       r.choice("sub_runner"),
		MainImage:       r.image("heptapod_runner_main_image"),
		RelaySubnet:     r.text("paas_relay_subnet"),
		DependencyProxy: r.yes("paas_dependency_proxy"),
		TraceWatch:      f.watch(r, watch),
	}
	r.tlsFiles(rc)
	if rc.RelaySubnet != "" {
		if _, err := netip.ParsePrefix(rc.RelaySubnet); err != nil {
			r.bad("paas_relay_subnet", "found %q, want a subnet such as 10.200.0.0/24", r.table["paas_relay_subnet"])
		}
	}
	if r.text("heptapod_paas_runner_helper_image") != "" {
		r.warn("heptapod_paas_runner_helper_image", "accepted, without effect: there is no helper service on the instances")
	}
	if r.seconds("paas_keep_resources_for_reuse_seconds") > 0 {
		r.warn("paas_keep_resources_for_reuse_seconds", "accepted, without effect: each job gets a fresh instance")
	}
	f.identity(r, &rc)
	r.unknownOfRunner(f.executor(r, &rc))
	rc.Forward = f.forward(r, rc)
	return rc
}

// identity computes the coordinator's normal form and the owner.
func (f *file) identity(r *reader, rc *Runner) {
	if rc.URL != "" {
		normal, err := fleet.NormalizeURL(rc.URL)
		if err != nil {
			r.bad("url", "can't be brought to its normal form")
		}
		rc.Coordinator = normal
	}
	pinned := r.text("paas_owner")
	switch {
	case pinned != "":
		owner, err := fleet.ParseOwner(pinned)
		if err != nil {
			r.bad("paas_owner", "found %q, want 10 characters out of a-z and 2-7", r.table["paas_owner"])
		}
		rc.Owner = owner
	case rc.Coordinator != "" && !rc.Token.Empty():
		rc.Owner, _ = fleet.OwnerOf(rc.Token.Reveal(), rc.Coordinator) // the URL was checked above
	}
}

// executor checks which one is asked for and reads its keys; "" when there is none such.
func (f *file) executor(r *reader, rc *Runner) string {
	if rc.Executor == "" {
		return ""
	}
	if why := refusal(rc.Executor); why != "" {
		r.bad("executor", "found %q, %s", r.table["executor"], why)
		return ""
	}
	switch rc.Executor {
	case ExecutorDocker:
		rc.Docker = f.docker(r)
	case ExecutorClever:
		rc.Clever = f.clever(r)
	}
	return rc.Executor
}

// Executors lists the executors that there are.
func Executors() []string { return []string{ExecutorClever, ExecutorDocker} }

// CheckExecutor says why an executor is refused, and what takes its place.
func CheckExecutor(name string) error {
	if why := refusal(name); why != "" {
		return fmt.Errorf("found %q, %s", name, why)
	}
	return nil
}

// refusal is "" for an executor that there is.
func refusal(name string) string {
	switch name {
	case ExecutorClever, ExecutorDocker:
		return ""
	case "clever-service-docker":
		return fmt.Sprintf("which is replaced by %q", ExecutorClever)
	case "service-docker":
		return fmt.Sprintf("which was for tests only; use %q", ExecutorDocker)
	case "docker", "docker-windows", "docker+machine", "docker-ssh", "docker-ssh+machine", "docker-autoscaler", "instance",
		"shell", "ssh", "kubernetes", "custom", "parallels", "virtualbox":
		return fmt.Sprintf("which gitlab-runner runs itself; here it is %q (an instance on Clever Cloud for each job) or %q (containers on a Docker Engine)",
			ExecutorClever, ExecutorDocker)
	}
	return fmt.Sprintf("want one of: %s%s", strings.Join(Executors(), ", "), hint(name, Executors()))
}

// watch reads a trace watch over what holds without it.
func (f *file) watch(r *reader, out TraceWatch) TraceWatch {
	w := r.sub("job_trace_watch", secWatch)
	if w == nil {
		return out
	}
	if w.has("token") {
		out.Token = w.secret("token")
	}
	if w.has("timeout_seconds") {
		out.Timeout = w.seconds("timeout_seconds")
	}
	if w.has("poll_step") {
		out.PollStep = w.seconds("poll_step")
	}
	w.leftovers()
	return out
}
