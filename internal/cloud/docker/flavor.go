// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/fleet"
)

// Flavors implements cloud.Provisioner: what the operator has defined. An engine has no
// sizes and no prices of its own.
func (p *Provisioner) Flavors(context.Context) ([]fleet.Flavor, error) {
	out := make([]fleet.Flavor, 0, len(p.cfg.Flavors))
	for _, f := range p.cfg.Flavors {
		out = append(out, fleet.Flavor{
			Name: f.Name, APIName: f.Name, MemMiB: int(f.Memory >> 20), CPUs: int(math.Ceil(f.CPUs)), Weight: f.Weight, BillingStep: 1,
		})
	}
	slices.SortStableFunc(out, func(a, b fleet.Flavor) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// flavor finds the flavor that a Spec asks for.
func (p *Provisioner) flavor(name string) (Flavor, error) {
	name = cmp.Or(name, p.cfg.DefaultFlavor)
	var allowed []string
	for _, f := range p.cfg.Flavors {
		if f.Name == name {
			return f, nil
		}
		allowed = append(allowed, f.Name)
	}
	slices.Sort(allowed)
	text := fmt.Sprintf("flavor %.40q is not available; choose one of %s", name, strings.Join(allowed, ", "))
	return Flavor{}, &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: errors.New(text)}
}
