// SPDX-License-Identifier: Apache-2.0

package cloudtest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// owner is whose instances the tests make.
const owner = fleet.Owner("abcdefgh23")

func (h Harness) create(t *testing.T, key string) cloud.Sighting {
	t.Helper()
	s, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: key, Tenant: h.Tenant, Flavor: h.Flavor})
	if err != nil {
		t.Fatalf("create %s: %v", key, err)
	}
	return s
}

func (h Harness) ref(s cloud.Sighting) cloud.Ref {
	return cloud.Ref{Key: s.Key, Tenant: h.Tenant, Handle: s.Handle}
}

// exist checks which instances there are, by name.
func (h Harness) exist(t *testing.T, want ...string) {
	t.Helper()
	got := h.Exists()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %q: want %q", got, want)
	}
}

// failed checks an error's class.
func failed(t *testing.T, what string, err error, want fleet.Class) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s succeeded: want an error of class %s", what, want)
	}
	if got := fleet.ClassOf(err); got != want {
		t.Errorf("%s: class %s, want %s: %v", what, got, want, err)
	}
}

func everyoneSeesTheSame(t *testing.T, h Harness) {
	key := owner.Key(7)
	made := h.create(t, key)
	if made.Key != key || made.Life != cloud.LifeCreated || made.Flavor != h.Flavor || len(made.Handle) == 0 ||
		made.Zone != h.Provisioner.Describe().Zone {
		t.Errorf("create gives %+v", made)
	}
	if bytes.Contains(made.Handle, []byte(h.Tenant.Token.Reveal())) {
		t.Error("the handle holds the tenant's credential")
	}
	byHandle, err := h.Provisioner.Inspect(t.Context(), h.ref(made))
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := h.Provisioner.Inspect(t.Context(), cloud.Ref{Key: key, Tenant: h.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	listed := h.list(t)
	if len(listed) != 1 {
		t.Fatalf("list gives %+v", listed)
	}
	for what, s := range map[string]cloud.Sighting{"by handle": byHandle, "by key": byKey, "listed": listed[0]} {
		if s.Key != made.Key || !bytes.Equal(s.Handle, made.Handle) || s.Life != made.Life || s.Flavor != made.Flavor ||
			s.Zone != made.Zone || !s.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("%s: %+v, created: %+v", what, s, made)
		}
	}
	h.exist(t, key)
}

func (h Harness) list(t *testing.T) []cloud.Sighting {
	t.Helper()
	seen, err := h.Provisioner.List(t.Context(), h.Tenant, owner)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func unknownFlavor(t *testing.T, h Harness) {
	_, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: owner.Key(1), Tenant: h.Tenant, Flavor: "no such\nflavor"})
	failed(t, "create", err, fleet.Permanent)
	if text := fleet.UserTextOf(err); text == "" || bytes.ContainsRune([]byte(text), '\n') {
		t.Errorf("the user reads %q: want one line", text)
	}
	h.exist(t)
}

func flavorsInOrder(t *testing.T, h Harness) {
	flavors, err := h.Provisioner.Flavors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byWeight := func(a, b fleet.Flavor) int { return int(a.Weight - b.Weight) }
	if len(flavors) == 0 || !slices.IsSortedFunc(flavors, byWeight) || flavors[0].Weight <= 0 {
		t.Errorf("flavors %+v", flavors)
	}
	if !slices.ContainsFunc(flavors, func(f fleet.Flavor) bool { return f.Name == h.Flavor }) {
		t.Errorf("%s is not among %+v", h.Flavor, flavors)
	}
}

func manyAtOnce(t *testing.T, h Harness) {
	var wait sync.WaitGroup
	want := map[string]bool{}
	for id := range int64(12) {
		key := owner.Key(id + 1)
		want[key] = true
		wait.Go(func() {
			if _, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: key, Tenant: h.Tenant, Flavor: h.Flavor}); err != nil {
				t.Errorf("create %s: %v", key, err)
			}
		})
	}
	wait.Wait()
	for _, s := range h.list(t) {
		if !want[s.Key] {
			t.Errorf("%s is listed again or was never made", s.Key)
		}
		delete(want, s.Key)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func lostCreate(t *testing.T, h Harness) {
	h.LoseAnswer(Create)
	key := owner.Key(1)
	_, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: key, Tenant: h.Tenant, Flavor: h.Flavor})
	failed(t, "create", err, fleet.Unknown)
	h.exist(t, key) // once: it is never retried inside
	seen, err := h.Provisioner.Inspect(t.Context(), cloud.Ref{Key: key, Tenant: h.Tenant})
	if err != nil || seen.Life != cloud.LifeCreated || len(seen.Handle) == 0 {
		t.Fatalf("inspect by key: %+v, %v", seen, err)
	}
	if err := h.Provisioner.Start(t.Context(), h.ref(seen), files()); err != nil {
		t.Errorf("start what was found: %v", err)
	}
}

func brokenCreate(t *testing.T, h Harness) {
	h.Break(Create)
	_, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: owner.Key(1), Tenant: h.Tenant, Flavor: h.Flavor})
	failed(t, "create", err, fleet.Unknown)
	_, err = h.Provisioner.Inspect(t.Context(), cloud.Ref{Key: owner.Key(1), Tenant: h.Tenant})
	if !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("inspect by key: %v, want not found", err)
	}
	h.exist(t)
}

func hangingCreate(t *testing.T, h Harness) {
	h.Hang(Create)
	_, err := h.Provisioner.Create(t.Context(), cloud.Spec{Key: owner.Key(1), Tenant: h.Tenant, Flavor: h.Flavor})
	failed(t, "create", err, fleet.Unknown)
}
