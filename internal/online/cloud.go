// SPDX-License-Identifier: Apache-2.0

package online

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// payer is a tenant whose credential is looked at.
type payer struct {
	tenant cloud.Tenant
	name   string // for people
}

// cloud asks the cloud about the settings, and about each tenant's credential. Without a
// client of the coordinator the tenants of several groups stay unknown.
func (q *questions) cloud(ctx context.Context, client *coordinator.Client) []Finding {
	prov, err := q.deps.Provisioner(q.runner)
	if err != nil {
		return q.found(Wrong, "cloud: %v", err)
	}
	cc := q.runner.Clever
	if !cc.MultiTenant {
		var p payer
		p.tenant.ID, p.tenant.Token = q.runner.Payer()
		p.name = cc.OrgaID
		seen := q.settings(ctx, prov, p)
		if seen.reached {
			seen.found = append(seen.found, q.flavors(ctx, prov)...)
		}
		if seen.allowed {
			seen.found = append(seen.found, q.expiry(ctx, prov, p)...)
		}
		return seen.found
	}
	var seen outlook
	var groups []Finding
	var payers []payer
	var all sync.WaitGroup
	all.Go(func() {
		if seen = q.settings(ctx, prov, payer{}); seen.reached {
			seen.found = append(seen.found, q.flavors(ctx, prov)...)
		}
	})
	if client != nil {
		all.Go(func() { groups, payers = q.tenants(ctx, client) })
	}
	all.Wait()
	out := append(groups, seen.found...)
	if seen.reached {
		out = append(out, q.each(ctx, prov, payers, out)...)
	}
	return out
}

// outlook is what was found about the settings, and what there is left to ask.
type outlook struct {
	found   []Finding
	reached bool // somebody answered
	allowed bool // and took the credential
}

// settings asks what is right for one tenant, or for all when p names none.
func (q *questions) settings(ctx context.Context, prov cloud.Provisioner, p payer) outlook {
	checker, ok := cloud.As[cloud.Checker](prov)
	if !ok {
		return outlook{q.found(NotAsked, "cloud: %s can't be asked about its settings", prov.Describe().Name), true, true}
	}
	limited, cancel := q.limited(ctx)
	defer cancel()
	subject, good := "cloud", "zone "+prov.Describe().Zone
	if p.name != "" {
		subject, good = "cloud, "+p.name, "the credential is good; "+good
	}
	errs := parts(checker.Check(limited, p.tenant))
	if len(errs) == 0 {
		return outlook{q.found(Good, "%s: %s", subject, good), true, true}
	}
	out := outlook{allowed: true}
	for _, err := range errs {
		out.found = append(out.found, q.failed(subject, err)...)
		out.reached = out.reached || levelOf(err) != Unreachable
		out.allowed = out.allowed && !errors.Is(err, fleet.ErrUnauthorized)
	}
	out.allowed = out.allowed && out.reached
	return out
}

// parts are the errors that are joined in one.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // this very error, not one in it
		return joined.Unwrap()
	}
	return []error{err}
}

// flavors sees whether the flavors that the file names exist. That of jobs without a wish
// is asked about with the settings.
func (q *questions) flavors(ctx context.Context, prov cloud.Provisioner) []Finding {
	limited, cancel := q.limited(ctx)
	defer cancel()
	list, err := prov.Flavors(limited)
	if err != nil {
		return q.failed("flavors", err)
	}
	var names []string
	weights := map[string]fleet.Weight{}
	for _, f := range list {
		names = append(names, f.Name)
		weights[f.Name] = f.Weight
	}
	all := strings.Join(names, ", ")
	out := q.found(Good, "flavors: %s", all)
	cc := q.runner.Clever
	named := []struct{ key, flavor string }{{"cc_max_flavor", cc.MaxFlavor}, {"reference_flavor of [quota_computation]", q.reference}}
	for _, flavor := range cc.AllowedFlavors {
		named = append(named, struct{ key, flavor string }{"cc_allowed_flavors", flavor})
	}
	for _, named := range named {
		if _, there := weights[named.flavor]; !there && named.flavor != "" {
			out = append(out, q.found(Wrong, "%s: %.40q is not available; choose one of %s", named.key, named.flavor, all)...)
		}
	}
	if largest, there := weights[cc.MaxFlavor]; there && weights[cc.DefaultFlavor] > largest {
		out = append(out, q.found(Warning, "cc_default_flavor: %s is larger than cc_max_flavor (%s): a job that does not choose is refused", cc.DefaultFlavor, cc.MaxFlavor)...)
	}
	return out
}

// expiry asks when a tenant's credential ends.
func (q *questions) expiry(ctx context.Context, prov cloud.Provisioner, p payer) []Finding {
	expirer, ok := cloud.As[cloud.Expirer](prov)
	if !ok {
		return nil
	}
	limited, cancel := q.limited(ctx)
	defer cancel()
	at, said, err := expirer.Expiry(limited, p.tenant)
	subject := "credential of " + p.name
	switch {
	case err != nil:
		return q.failed(subject, err)
	case !said:
		return q.found(NotAsked, "%s: the cloud does not tell when it ends", subject)
	}
	return q.ends(subject, at)
}

// each looks at the tenants' credentials. What was found before, or with another tenant, is
// not said again.
func (q *questions) each(ctx context.Context, prov cloud.Provisioner, payers []payer, before []Finding) []Finding {
	results := make([][]Finding, len(payers))
	turns := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, p := range payers {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			seen := q.settings(ctx, prov, p)
			if seen.allowed && !q.runner.Clever.Auth.OwnUser() {
				seen.found = append(seen.found, q.expiry(ctx, prov, p)...)
			}
			results[i] = seen.found
		})
	}
	all.Wait()
	said := map[string]bool{}
	for _, f := range before {
		said[f.Text] = true
	}
	var out []Finding
	for i, found := range results {
		for _, f := range found {
			general := strings.Replace(f.Text, fmt.Sprintf("cloud, %s: ", payers[i].name), "cloud: ", 1)
			if !said[general] {
				out = append(out, f)
			}
			if f.Level == Wrong {
				said[general] = true
			}
		}
	}
	if len(payers) > 0 && q.runner.Clever.Auth.OwnUser() {
		out = append(out, q.expiry(ctx, prov, payer{name: "the user who acts for all tenants"})...)
	}
	return out
}
