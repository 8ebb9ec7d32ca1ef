// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

var (
	_ cloud.Checker = (*Provisioner)(nil)
	_ cloud.Expirer = (*Provisioner)(nil)
)

// Check implements cloud.Checker: the credential, the zone, the default flavor and
// the instance type. Nothing is made.
func (p *Provisioner) Check(ctx context.Context, tenant cloud.Tenant) error {
	_, seen := p.applications(ctx, tenant)
	_, flavor := p.flavor(ctx, "")
	if flavor != nil {
		flavor = fmt.Errorf("default flavor: %w", flavor)
	}
	_, version := p.versions.get(ctx, p.fetchVersion)
	return errors.Join(seen, p.checkZone(ctx, tenant), flavor, version, p.checkGit(tenant))
}

// checkGit sees that there is a credential to push with. Whether it is good only a
// push can tell.
func (p *Provisioner) checkGit(tenant cloud.Tenant) error {
	_, _, err := p.gitCredential(tenant)
	return err
}

// zone is what we read of an entry of /products/zones.
type zone struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// holdsApplications: a zone whose tags name purposes has to name this one.
func (z zone) holdsApplications() bool {
	purposes := slices.ContainsFunc(z.Tags, func(t string) bool { return strings.HasPrefix(t, "for:") })
	return z.Name != "" && (!purposes || slices.Contains(z.Tags, "for:applications"))
}

// checkZone sees that the zone exists for the tenant.
func (p *Provisioner) checkZone(ctx context.Context, tenant cloud.Tenant) error {
	list, err := p.zones(ctx, tenant)
	if err != nil {
		return err
	}
	var names []string
	for _, z := range list {
		if z.holdsApplications() {
			names = append(names, z.Name)
		}
	}
	slices.Sort(names)
	if slices.Contains(names, p.cfg.Zone) {
		return nil
	}
	return &fleet.CallError{
		Class: fleet.Permanent, Err: fmt.Errorf("zone %.40q is not available; choose one of %s", p.cfg.Zone, strings.Join(names, ", ")),
	}
}

// zones asks the newer version of the API, which knows what each tenant may use,
// and the older one where there is none.
func (p *Provisioner) zones(ctx context.Context, tenant cloud.Tenant) ([]zone, error) {
	var list []zone
	r := request{what: "list zones", method: http.MethodGet, path: "/products/zones", public: true}
	if root, ok := p.root(); ok {
		newer := request{
			what: r.what, method: http.MethodGet, path: root + "/v4/products/zones",
			query: url.Values{"ownerId": {tenant.ID}}, token: tenant.Token,
		}
		err := p.api.call(ctx, newer, &list)
		if err == nil || !lacksEndpoint(err) {
			return list, err
		}
	}
	return list, p.api.call(ctx, r, &list)
}

// Expiry implements cloud.Expirer: when the tenant's credential ends. Tokens got in
// a browser end after some three months, without a word. Where the platform does not
// know of a date, as with organisation tokens, neither do we.
func (p *Provisioner) Expiry(ctx context.Context, tenant cloud.Tenant) (time.Time, bool, error) {
	var current struct {
		Expiration date `json:"expirationDate"`
	}
	err := p.api.call(ctx, request{
		what: "read when the credential ends", method: http.MethodGet, path: "/self/tokens/current", token: tenant.Token,
	}, &current)
	if lacksEndpoint(err) || errors.Is(err, fleet.ErrNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return current.Expiration.Time, !current.Expiration.IsZero(), nil
}

// date is a time in milliseconds or as text; what is neither is the zero time.
type date struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(text []byte) error {
	raw := strings.Trim(string(text), `"`)
	if _, err := strconv.ParseFloat(raw, 64); err == nil {
		var m millis
		err = json.Unmarshal(text, &m)
		d.Time = m.Time
		return err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", time.DateOnly} {
		if at, err := time.Parse(layout, raw); err == nil {
			d.Time = at.UTC()
			return nil
		}
	}
	return nil
}
