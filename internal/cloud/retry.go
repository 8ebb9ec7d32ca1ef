// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"cmp"
	"context"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// RetryConfig says how often and how patiently calls are repeated.
type RetryConfig struct {
	Attempts int           // 4: calls in all
	First    time.Duration // 500 ms: before the second call
	Most     time.Duration // 15 s: longest pause; doubles until there
}

// Retry repeats the calls that may be repeated: List, Inspect, Flavors and
// Destroy. Create, Start and Recover pass through untouched: what a lost answer of
// those means is the manager's decision.
type Retry struct {
	Provisioner
	cfg    RetryConfig
	jitter func() float64
}

var _ Provisioner = (*Retry)(nil)

// NewRetry wraps a provisioner. jitter gives numbers in [0, 1) and is called from
// many goroutines.
func NewRetry(p Provisioner, jitter func() float64, cfg RetryConfig) *Retry {
	cfg.Attempts = cmp.Or(cfg.Attempts, 4)
	cfg.First = cmp.Or(cfg.First, 500*time.Millisecond)
	cfg.Most = cmp.Or(cfg.Most, 15*time.Second)
	return &Retry{Provisioner: p, cfg: cfg, jitter: jitter}
}

// Flavors implements Provisioner.
func (r *Retry) Flavors(ctx context.Context) (flavors []fleet.Flavor, err error) {
	err = r.repeat(ctx, func() error {
		flavors, err = r.Provisioner.Flavors(ctx)
		return err
	})
	return flavors, err
}

// List implements Provisioner.
func (r *Retry) List(ctx context.Context, tenant Tenant, owner fleet.Owner) (seen []Sighting, err error) {
	err = r.repeat(ctx, func() error {
		seen, err = r.Provisioner.List(ctx, tenant, owner)
		return err
	})
	return seen, err
}

// Inspect implements Provisioner.
func (r *Retry) Inspect(ctx context.Context, ref Ref) (seen Sighting, err error) {
	err = r.repeat(ctx, func() error {
		seen, err = r.Provisioner.Inspect(ctx, ref)
		return err
	})
	return seen, err
}

// Destroy implements Provisioner.
func (r *Retry) Destroy(ctx context.Context, ref Ref) error {
	return r.repeat(ctx, func() error { return r.Provisioner.Destroy(ctx, ref) })
}

// repeat calls until it succeeds, the error is permanent, the attempts are used up
// or the caller's time is. The last error is returned as it is, so that its class
// and what the other side asked us to wait are not lost.
func (r *Retry) repeat(ctx context.Context, call func() error) error {
	pause := r.cfg.First
	for attempt := 1; ; attempt++ {
		err := call()
		if err == nil || fleet.ClassOf(err) == fleet.Permanent || attempt >= r.cfg.Attempts || ctx.Err() != nil {
			return err
		}
		wait := max(r.spread(pause), fleet.RetryAfterOf(err))
		if deadline, ok := ctx.Deadline(); wait > r.cfg.Most || ok && time.Until(deadline) <= wait {
			return err // the caller decides what to do with so much time
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, r.cfg.Most)
	}
}

// spread gives between half of the pause and all of it.
func (r *Retry) spread(pause time.Duration) time.Duration {
	return pause/2 + time.Duration(r.jitter()*float64(pause/2))
}
