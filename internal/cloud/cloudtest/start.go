// SPDX-License-Identifier: Apache-2.0

package cloudtest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// files are what a job's instance is given, more or less.
func files() []fleet.File {
	return []fleet.File{
		{Path: "Dockerfile", Data: []byte("FROM debian:bookworm\nCOPY tool job.json /etc/x/\nENTRYPOINT [\"/etc/x/tool\"]\n")},
		{Path: "job.json", Data: []byte("{\"id\": 1, \"hostile\": \"\\u0000\"}")},
		{Path: "tool", Data: bytes.Repeat([]byte{0, 0xff, '\n'}, 50_000), Executable: true},
	}
}

func otherFiles() []fleet.File {
	return append(files()[:1:1], fleet.File{Path: "job.json", Data: []byte("{}")})
}

func startOnce(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	if err := h.Provisioner.Start(t.Context(), h.ref(made), files()); err != nil {
		t.Fatal(err)
	}
	for _, again := range [][]fleet.File{files(), otherFiles()} {
		if err := h.Provisioner.Start(t.Context(), h.ref(made), again); !errors.Is(err, fleet.ErrAlreadyStarted) {
			t.Errorf("start again: %v, want %v", err, fleet.ErrAlreadyStarted)
		}
	}
	h.recovers(t, made)
}

// recovers checks that files() are on the instance, and nothing else.
func (h Harness) recovers(t *testing.T, made cloud.Sighting) {
	t.Helper()
	got, err := h.Provisioner.Recover(t.Context(), h.ref(made))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b fleet.File) int { return strings.Compare(a.Path, b.Path) })
	if !slices.EqualFunc(got, files(), func(a, b fleet.File) bool {
		return a.Path == b.Path && a.Executable == b.Executable && bytes.Equal(a.Data, b.Data)
	}) {
		t.Errorf("recovered %d files that are not those that were given", len(got))
	}
}

func startOfLookAlike(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.Foreign(owner.Key(12))
	time.Sleep(time.Minute) // until it could be started
	stranger, err := h.Provisioner.Inspect(t.Context(), cloud.Ref{Key: owner.Key(12), Tenant: h.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	err = h.Provisioner.Start(t.Context(), cloud.Ref{Key: made.Key, Tenant: h.Tenant, Handle: stranger.Handle}, files())
	failed(t, "start", err, fleet.Permanent)
	if !errors.Is(err, fleet.ErrNotOurs) {
		t.Errorf("start: %v, want %v", err, fleet.ErrNotOurs)
	}
	if _, err := h.Provisioner.Recover(t.Context(), cloud.Ref{Key: stranger.Key, Tenant: h.Tenant, Handle: stranger.Handle}); err == nil {
		t.Error("something was put on the look-alike")
	}
}

func lostStart(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.LoseAnswer(Start)
	failed(t, "start", h.Provisioner.Start(t.Context(), h.ref(made), files()), fleet.Unknown)
	if err := h.Provisioner.Start(t.Context(), h.ref(made), files()); !errors.Is(err, fleet.ErrAlreadyStarted) {
		t.Errorf("start again: %v, want %v", err, fleet.ErrAlreadyStarted)
	}
	h.recovers(t, made)
}

func hangingStart(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	h.Hang(Start)
	begun := time.Now()
	failed(t, "start", h.Provisioner.Start(t.Context(), h.ref(made), files()), fleet.Unknown)
	if took := time.Since(begun); took > 10*time.Minute {
		t.Errorf("it took %s", took)
	}
}

func recoverFiles(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	if err := h.Provisioner.Start(t.Context(), h.ref(made), files()); err != nil {
		t.Fatal(err)
	}
	h.recovers(t, made)
	time.Sleep(time.Minute)
	h.EndTask(t, made.Key)
	time.Sleep(time.Minute)
	h.recovers(t, h.list(t)[0]) // by whoever finds it in a list, after its end too
}

func recoverNothing(t *testing.T, h Harness) {
	made := h.create(t, owner.Key(1))
	if got, err := h.Provisioner.Recover(t.Context(), h.ref(made)); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("recovered %d files, %v: want not found", len(got), err)
	}
}
