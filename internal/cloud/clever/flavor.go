// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// size is a flavor as we know it.
type size = fleet.Flavor

// Flavors without prices are asked for again sooner.
const retryPrices = 5 * time.Minute

// Flavors implements cloud.Provisioner.
func (p *Provisioner) Flavors(ctx context.Context) ([]fleet.Flavor, error) {
	sizes, err := p.sizes.get(ctx, p.fetchFlavors)
	if err != nil {
		return nil, err
	}
	return slices.Clone(sizes), nil
}

func (p *Provisioner) fetchFlavors(ctx context.Context) ([]size, time.Duration, error) {
	var list []struct {
		Name      string  `json:"name"`
		Mem       float64 `json:"mem"`
		CPUs      float64 `json:"cpus"`
		Available bool    `json:"available"`
		PriceID   string  `json:"price_id"`
	}
	r := request{
		what: "list flavors", method: http.MethodGet, path: "/products/flavors", public: true,
		query: url.Values{"context": {p.cfg.FlavorContext}},
	}
	if err := p.api.call(ctx, r, &list); err != nil {
		return nil, 0, err
	}
	prices, good := p.prices(ctx)
	var sizes []size
	for _, f := range list {
		name, ours := strings.CutPrefix(f.Name, p.cfg.FlavorNamePrefix)
		if !ours || name == "" || !f.Available || f.Mem < 1 || f.Mem > 1<<30 {
			continue
		}
		sizes = append(sizes, size{
			Name: name, APIName: f.Name, MemMiB: int(f.Mem), CPUs: int(f.CPUs), Weight: fleet.WeightOf(int(f.Mem)),
			PricePerHour: prices[strings.ToLower(f.PriceID)], BillingStep: p.billingStep(),
		})
	}
	if len(sizes) == 0 {
		return nil, 0, r.fail(fleet.Transient, fmt.Errorf("none begins with %q", p.cfg.FlavorNamePrefix))
	}
	slices.SortStableFunc(sizes, func(a, b size) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return sizes, good, nil
}

// prices gives the price per hour by price id, and how long that is good. A cost
// that is not known stops nobody: it is 0 and asked for again soon.
func (p *Provisioner) prices(ctx context.Context) (map[string]float64, time.Duration) {
	root, ok := p.root()
	if !ok {
		return nil, p.cfg.CacheFor
	}
	var system struct {
		Runtime []struct {
			SlugID   string  `json:"slug_id"`
			TimeUnit string  `json:"time_unit"`
			Price    float64 `json:"price"`
		} `json:"runtime"`
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := p.api.call(ctx, request{
		what: "read prices", method: http.MethodGet, path: root + "/v4/billing/price-system", public: true,
		query: url.Values{"zone_id": {strings.ToUpper(p.cfg.Zone)}},
	}, &system)
	if err != nil {
		return nil, min(retryPrices, p.cfg.CacheFor)
	}
	prices := make(map[string]float64, len(system.Runtime))
	for _, r := range system.Runtime {
		if r.TimeUnit == "PT1H" && r.Price > 0 {
			prices[strings.ToLower(r.SlugID)] = r.Price
		}
	}
	return prices, p.cfg.CacheFor
}

// billingStep in seconds: runner flavors are billed by 10 seconds, others by one.
func (p *Provisioner) billingStep() int {
	if p.cfg.FlavorContext == "heptapod-runner" {
		return 10
	}
	return 1
}

// flavor finds the flavor that a Spec asks for.
func (p *Provisioner) flavor(ctx context.Context, name string) (size, error) {
	sizes, err := p.sizes.get(ctx, p.fetchFlavors)
	if err != nil {
		return size{}, err
	}
	name = cmp.Or(name, p.cfg.DefaultFlavor)
	var allowed []string
	for _, f := range sizes {
		if f.Name == name {
			return f, nil
		}
		allowed = append(allowed, f.Name)
	}
	text := fmt.Sprintf("flavor %.40q is not available; choose one of %s", name, strings.Join(allowed, ", "))
	return size{}, &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: errors.New(text)}
}

// fetchVersion finds the current version of the instance type docker. The variant
// of runners is usually not in the public list; it has the version of the plain one.
func (p *Provisioner) fetchVersion(ctx context.Context) (string, time.Duration, error) {
	var list []product
	r := request{what: "list instance types", method: http.MethodGet, path: "/products/instances", public: true}
	if err := p.api.call(ctx, r, &list); err != nil {
		return "", 0, err
	}
	for _, fits := range []func(product) bool{
		func(e product) bool { return e.Variant.ID == p.cfg.VariantUUID },
		func(e product) bool { return e.Name == "Docker" },
		func(e product) bool { return e.Type == instanceType && e.Variant.Slug == "docker" },
	} {
		for _, e := range list {
			if fits(e) && e.Version != "" {
				return e.Version, p.cfg.CacheFor, nil
			}
		}
	}
	return "", 0, r.fail(fleet.Transient, errors.New("no entry for Docker"))
}
