// SPDX-License-Identifier: Apache-2.0

package cloudtest

import (
	"errors"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

func destroyEveryState(t *testing.T, h Harness) {
	start := func(s cloud.Sighting) {
		if err := h.Provisioner.Start(t.Context(), h.ref(s), files()); err != nil {
			t.Fatal(err)
		}
	}
	for id, prepare := range []func(cloud.Sighting){
		func(cloud.Sighting) {},
		start, // booting
		func(s cloud.Sighting) { start(s); time.Sleep(time.Minute) },
		func(s cloud.Sighting) {
			start(s)
			time.Sleep(time.Minute)
			h.EndTask(t, s.Key)
			time.Sleep(time.Minute)
		},
	} {
		made := h.create(t, owner.Key(int64(id+1)))
		prepare(made)
		h.destroyed(t, made)
	}
}

// destroyed destroys an instance, and once more, and sees that it is gone.
func (h Harness) destroyed(t *testing.T, made cloud.Sighting) {
	t.Helper()
	for range 2 {
		if err := h.Provisioner.Destroy(t.Context(), h.ref(made)); err != nil {
			t.Errorf("destroy %s: %v", made.Key, err)
		}
	}
	if _, err := h.Provisioner.Inspect(t.Context(), h.ref(made)); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("inspect %s: %v, want not found", made.Key, err)
	}
	h.exist(t)
}

func destroyByKey(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.Foreign(made.Key + "-x")
	for range 2 {
		if err := h.Provisioner.Destroy(t.Context(), cloud.Ref{Key: made.Key, Tenant: h.Tenant}); err != nil {
			t.Errorf("destroy by key: %v", err)
		}
	}
	h.exist(t, made.Key+"-x")
}

func destroyLookAlike(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(12))
	err := h.Provisioner.Destroy(t.Context(), cloud.Ref{Key: owner.Key(1), Tenant: h.Tenant, Handle: made.Handle})
	failed(t, "destroy", err, fleet.Permanent)
	if !errors.Is(err, fleet.ErrNotOurs) {
		t.Errorf("destroy: %v, want %v", err, fleet.ErrNotOurs)
	}
	h.exist(t, made.Key)
}

func lostDestroy(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.LoseAnswer(Destroy)
	failed(t, "destroy", h.Provisioner.Destroy(t.Context(), h.ref(made)), fleet.Unknown)
	h.destroyed(t, made)
}

func brokenDestroy(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.Break(Destroy)
	if err := h.Provisioner.Destroy(t.Context(), h.ref(made)); err == nil || fleet.ClassOf(err) == fleet.Permanent {
		t.Errorf("destroy: %v, want an error that is not permanent", err)
	}
	h.exist(t, made.Key)
	h.destroyed(t, made)
}

func hangingDestroy(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.Hang(Destroy)
	if err := h.Provisioner.Destroy(t.Context(), h.ref(made)); err == nil || fleet.ClassOf(err) == fleet.Permanent {
		t.Errorf("destroy: %v, want an error that is not permanent", err)
	}
	h.destroyed(t, made)
}
