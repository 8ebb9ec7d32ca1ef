// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"context"
	"time"
)

// Expirer is a provisioner whose credentials may end one day. The time is that of
// the tenant's credential; false when the infrastructure does not say.
type Expirer interface {
	Expiry(ctx context.Context, tenant Tenant) (time.Time, bool, error)
}

// Checker is a provisioner that can tell whether its settings make sense to the
// infrastructure: whether instances could be made, without making one. The error
// joins everything that is wrong.
type Checker interface {
	Check(ctx context.Context, tenant Tenant) error
}

// Shaper is a provisioner that has a say in the sub-runner's configuration: what it gives
// is laid over [runners.docker], tables in it over the tables there.
type Shaper interface {
	Shape(key, flavor string) map[string]any
}

// As finds what a provisioner, or one that it decorates, can do beyond the contract.
func As[T any](p Provisioner) (T, bool) {
	for p != nil {
		if t, ok := p.(T); ok {
			return t, true
		}
		outer, ok := p.(interface{ Unwrap() Provisioner })
		if !ok {
			break
		}
		p = outer.Unwrap()
	}
	var none T
	return none, false
}

// Unwrap gives the provisioner that is decorated.
func (r *Retry) Unwrap() Provisioner { return r.Provisioner }
