// SPDX-License-Identifier: Apache-2.0

package cloudtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

func listShowsTheMark(t *testing.T, h Harness) {
	marked := []string{owner.Key(1), owner.KeyPrefix() + "1-again", owner.KeyPrefix() + "../x y?z#%2f", owner.KeyPrefix() + "é"}
	others := []string{
		"hpd-job-abcdefgh24-1", "hpd-job-" + string(owner), "hpd-job-" + string(owner) + "x-1", "x" + owner.Key(1),
		" " + owner.Key(1), "production",
	}
	for _, name := range append(slices.Clone(marked), others...) {
		h.Foreign(name)
	}
	var got []string
	for _, s := range h.list(t) {
		got = append(got, s.Key)
	}
	slices.Sort(got)
	slices.Sort(marked)
	if !slices.Equal(got, marked) {
		t.Errorf("listed %q: want %q", got, marked)
	}
}

func listOfNeighbour(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	seen, err := h.Provisioner.List(t.Context(), h.Neighbour, owner)
	if err != nil || len(seen) != 0 {
		t.Errorf("list of the neighbour: %+v, %v", seen, err)
	}
	ref := cloud.Ref{Key: made.Key, Tenant: h.Neighbour, Handle: made.Handle}
	if _, err := h.Provisioner.Inspect(t.Context(), ref); err == nil {
		t.Error("the neighbour's credential reads our instance")
	}
	if err := h.Provisioner.Destroy(t.Context(), cloud.Ref{Key: made.Key, Tenant: h.Neighbour}); err != nil {
		t.Errorf("destroy what the neighbour does not have: %v", err)
	}
	h.exist(t, made.Key)
}

func notFound(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	if err := h.Provisioner.Destroy(t.Context(), h.ref(made)); err != nil {
		t.Fatal(err)
	}
	h.Foreign(owner.Key(1) + "0") // a longer name is another name
	for what, ref := range map[string]cloud.Ref{"by handle": h.ref(made), "by key": {Key: made.Key, Tenant: h.Tenant}} {
		_, err := h.Provisioner.Inspect(t.Context(), ref)
		failed(t, "inspect "+what, err, fleet.Permanent)
		if !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("inspect %s: %v, want not found", what, err)
		}
	}
}

func life(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.lives(t, made, cloud.LifeCreated)
	if err := h.Provisioner.Start(t.Context(), h.ref(made), files()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute) // to boot
	h.lives(t, made, cloud.LifeAlive)
	h.EndTask(t, made.Key)
	time.Sleep(time.Minute)
	h.lives(t, made, cloud.LifeEnded)
}

// lives checks what Inspect and List say; the handle never changes.
func (h Harness) lives(t *testing.T, made cloud.Sighting, want cloud.Life) {
	t.Helper()
	seen, err := h.Provisioner.Inspect(t.Context(), h.ref(made))
	if err != nil || seen.Life != want || string(seen.Handle) != string(made.Handle) {
		t.Errorf("inspect: %+v, %v; want life %s", seen, err, want)
	}
	for _, s := range h.list(t) {
		if s.Life != want || string(s.Handle) != string(made.Handle) {
			t.Errorf("list: %+v, want life %s", s, want)
		}
	}
}

func refusedCredential(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	wrong := cloud.Tenant{ID: h.Tenant.ID, Token: secret.New("wrong-credential-canary")}
	ref := cloud.Ref{Key: made.Key, Tenant: wrong, Handle: made.Handle}
	_, list := h.Provisioner.List(t.Context(), wrong, owner)
	_, inspect := h.Provisioner.Inspect(t.Context(), ref)
	_, create := h.Provisioner.Create(t.Context(), cloud.Spec{Key: owner.Key(2), Tenant: wrong, Flavor: h.Flavor})
	for what, err := range map[string]error{
		"list": list, "inspect": inspect, "create": create,
		"destroy":        h.Provisioner.Destroy(t.Context(), ref),
		"destroy by key": h.Provisioner.Destroy(t.Context(), cloud.Ref{Key: made.Key, Tenant: wrong}),
		"start":          h.Provisioner.Start(t.Context(), ref, files()),
	} {
		failed(t, what, err, fleet.Permanent)
		if !errors.Is(err, fleet.ErrUnauthorized) || errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("%s: %v, want unauthorized and not absent", what, err)
		}
		if strings.Contains(err.Error()+fleet.UserTextOf(err), "canary") {
			t.Errorf("%s: the error shows the credential: %v", what, err)
		}
	}
	h.exist(t, made.Key)
}

func cancelled(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, create := h.Provisioner.Create(ctx, cloud.Spec{Key: owner.Key(2), Tenant: h.Tenant, Flavor: h.Flavor})
	_, list := h.Provisioner.List(ctx, h.Tenant, owner)
	_, inspect := h.Provisioner.Inspect(ctx, h.ref(made))
	for what, err := range map[string]error{
		"create": create, "list": list, "inspect": inspect,
		"destroy": h.Provisioner.Destroy(ctx, h.ref(made)),
		"start":   h.Provisioner.Start(ctx, h.ref(made), files()),
	} {
		if err == nil || fleet.ClassOf(err) == fleet.Permanent {
			t.Errorf("%s: %v of class %s, want it not permanent", what, err, fleet.ClassOf(err))
		}
	}
	h.exist(t, made.Key)
}
