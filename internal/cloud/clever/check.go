// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
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

// Check implements cloud.Checker: the credential, the default flavor, the instance type
// and the zone; without a tenant all but the credential. Nothing is made.
func (p *Provisioner) Check(ctx context.Context, tenant cloud.Tenant) error {
	var problems []error
	for _, check := range []func(context.Context, cloud.Tenant) error{p.checkCredential, p.checkFlavor, p.checkVersion, p.checkZone} {
		err := check(ctx, tenant)
		problems = append(problems, err)
		if _, lost := errors.AsType[*lostError](err); lost {
			break // nobody is there: once is enough
		}
	}
	return errors.Join(problems...)
}

// checkCredential uses the credential, and sees that there is one to push with. Whether
// that one is good only a push can tell.
func (p *Provisioner) checkCredential(ctx context.Context, tenant cloud.Tenant) error {
	if tenant.ID == "" {
		return nil
	}
	if _, err := p.applications(ctx, tenant); err != nil {
		return err
	}
	_, _, err := p.gitCredential(tenant)
	return err
}

func (p *Provisioner) checkFlavor(ctx context.Context, _ cloud.Tenant) error {
	if _, err := p.flavor(ctx, ""); err != nil {
		return fmt.Errorf("cc_default_flavor: %w", err)
	}
	return nil
}

func (p *Provisioner) checkVersion(ctx context.Context, _ cloud.Tenant) error {
	_, err := p.versions.get(ctx, p.fetchVersion)
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
	if len(names) == 0 {
		return &fleet.CallError{Class: fleet.Transient, Err: errors.New("list zones: the answer names none")}
	}
	slices.Sort(names)
	if slices.Contains(names, p.cfg.Zone) {
		return nil
	}
	return &fleet.CallError{
		Class: fleet.Permanent, Err: fmt.Errorf("cc_zone: %.40q is not available; choose one of %s", p.cfg.Zone, strings.Join(names, ", ")),
	}
}

// zones asks the newer version of the API, which knows what each tenant may use, and
// the older one, which asks for no credential, where the newer one is not to be had.
func (p *Provisioner) zones(ctx context.Context, tenant cloud.Tenant) ([]zone, error) {
	var list []zone
	if root, ok := p.root(); ok && tenant.ID != "" {
		err := p.api.call(ctx, request{
			what: "list zones", method: http.MethodGet, path: root + "/v4/products/zones",
			query: url.Values{"ownerId": {tenant.ID}}, token: tenant.Token,
		}, &list)
		if err == nil || !lacksEndpoint(err) && !errors.Is(err, fleet.ErrUnauthorized) {
			return list, err
		}
	}
	err := p.api.call(ctx, request{what: "list zones", method: http.MethodGet, path: "/products/zones", public: true}, &list)
	return list, err
}

// Expiry implements cloud.Expirer: when the tenant's credential ends. Tokens got in
// a browser end after some three months, without a word. Where the platform does not
// tell a date, as for the tokens of organisations, which have no user, neither do we.
func (p *Provisioner) Expiry(ctx context.Context, tenant cloud.Tenant) (time.Time, bool, error) {
	var current struct {
		Expiration date `json:"expirationDate"`
	}
	err := p.api.call(ctx, request{
		what: "read when the credential ends", method: http.MethodGet, path: "/self/tokens/current", token: tenant.Token,
	}, &current)
	if lacksEndpoint(err) || errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrUnauthorized) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return current.Expiration.Time, !current.Expiration.IsZero(), nil
}

// date is a time in milliseconds or as text; what is neither is the zero time.
type date struct{ time.Time }

// earliest is in 1973 when it counts milliseconds, far away when it counts seconds: what is
// less is taken for seconds, since no credential ended before there was a cloud.
const earliest = 1e11

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(text []byte) error {
	raw := strings.Trim(string(text), `"`)
	if n, err := strconv.ParseFloat(raw, 64); err == nil {
		if n > 0 && n < earliest {
			raw = strconv.FormatFloat(n*1000, 'f', 0, 64)
		}
		var m millis
		err = m.UnmarshalJSON([]byte(raw))
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
