// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// apart lets the calls to a provisioner that a step hands out at one instant begin and end at
// instants of their own: two instances that are looked for by their keys make the same
// request, and whose goroutine comes first must not matter.
type apart struct {
	cloud.Provisioner
	wire *wire
}

// Unwrap serves cloud.As.
func (p apart) Unwrap() cloud.Provisioner { return p.Provisioner }

// Create implements cloud.Provisioner.
func (p apart) Create(ctx context.Context, spec cloud.Spec) (cloud.Sighting, error) {
	defer p.wire.ended(p.wire.pause("create " + spec.Key))
	return p.Provisioner.Create(ctx, spec)
}

// Start implements cloud.Provisioner.
func (p apart) Start(ctx context.Context, ref cloud.Ref, files []fleet.File) error {
	defer p.wire.ended(p.wire.pause("start " + ref.Key + string(ref.Handle)))
	return p.Provisioner.Start(ctx, ref, files)
}

// List implements cloud.Provisioner.
func (p apart) List(ctx context.Context, tenant cloud.Tenant, owner fleet.Owner) ([]cloud.Sighting, error) {
	defer p.wire.ended(p.wire.pause("list " + tenant.ID + string(owner)))
	seen, err := p.Provisioner.List(ctx, tenant, owner)
	if err == nil {
		p.wire.book.swept(p.wire.who + " " + tenant.ID)
	}
	return seen, err
}

// Inspect implements cloud.Provisioner.
func (p apart) Inspect(ctx context.Context, ref cloud.Ref) (cloud.Sighting, error) {
	defer p.wire.ended(p.wire.pause("inspect " + ref.Key + string(ref.Handle)))
	return p.Provisioner.Inspect(ctx, ref)
}

// Destroy implements cloud.Provisioner.
func (p apart) Destroy(ctx context.Context, ref cloud.Ref) error {
	defer p.wire.ended(p.wire.pause("destroy " + ref.Key + string(ref.Handle)))
	return p.Provisioner.Destroy(ctx, ref)
}

// Recover implements cloud.Provisioner.
func (p apart) Recover(ctx context.Context, ref cloud.Ref) ([]fleet.File, error) {
	defer p.wire.ended(p.wire.pause("recover " + ref.Key + string(ref.Handle)))
	return p.Provisioner.Recover(ctx, ref)
}

// bodyFirst reads what a client sends before anything is answered: a client that is answered
// while it sends may see the answer or a broken connection, whichever its goroutines choose.
func bodyFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(rw, r)
	})
}
