// SPDX-License-Identifier: Apache-2.0

// Package cloud is the contract between the manager and the infrastructures on
// which instances live. It holds no implementation: one package below it per
// infrastructure, all held to the contract by cloudtest. The one idea: whatever a
// call answers, the manager must know whether something may now exist.
package cloud

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Provisioner makes and destroys instances on one infrastructure. Errors carry a
// class (fleet.ClassOf); an unclassified one is read as unknown. All methods may
// be called concurrently, keep no state but caches that can be lost, and end
// within the context's deadline.
type Provisioner interface {
	// Describe says what the manager has to know about the infrastructure. No I/O.
	Describe() Description

	// Flavors lists what can be asked for, smallest weight first. Cached.
	Flavors(ctx context.Context) ([]fleet.Flavor, error)

	// Create makes the instance named spec.Key and waits until it can be started.
	// It is never retried inside. Permanent: nothing exists. Transient: nothing was
	// done. Unknown: it may exist. When the instance exists but waiting for it
	// failed, the error is unknown too; the sighting has its handle then.
	Create(ctx context.Context, spec Spec) (Sighting, error)

	// Start starts the job: the commit point, done once. fleet.ErrAlreadyStarted
	// when the instance was started before (nothing was done). Never retried inside.
	Start(ctx context.Context, ref Ref, files []fleet.File) error

	// List gives every instance of the tenant that carries the owner's mark
	// (its name begins with owner.KeyPrefix()), in O(1) calls.
	List(ctx context.Context, tenant Tenant, owner fleet.Owner) ([]Sighting, error)

	// Inspect reads one instance, by handle if there is one, else by key.
	// fleet.ErrNotFound (class permanent) when the platform itself says so.
	Inspect(ctx context.Context, ref Ref) (Sighting, error)

	// Destroy reads the instance again, refuses with fleet.ErrNotOurs unless it
	// carries exactly ref.Key, then destroys it with all its children, from every
	// state. nil when deletion was accepted or it was already gone. Absence is
	// confirmed by Inspect, not by Destroy.
	Destroy(ctx context.Context, ref Ref) error

	// Recover gives back the files that Start put on the instance (adoption).
	Recover(ctx context.Context, ref Ref) ([]fleet.File, error)
}

// Tenant is who pays, with the credential to act for them. It is resolved for
// each call and kept nowhere.
type Tenant struct {
	ID    string // organisation id
	Token secret.String
}

// Spec is what Create needs.
type Spec struct {
	Key    string
	Tenant Tenant
	Flavor string // a Flavor's Name
	// Progress is told in one line what takes its time; nil = nobody wants to know. It is
	// called while Create runs, by one goroutine at a time.
	Progress func(line string)
}

// Ref names an existing instance. Handle may be empty when it is not known.
type Ref struct {
	Key    string
	Tenant Tenant
	Handle []byte
}

// Life is what the infrastructure says of an instance.
type Life string

// The lives of an instance. Every infrastructure maps its own words to these.
const (
	LifeCreated Life = "created" // exists, never started
	LifeAlive   Life = "alive"   // started; its task is, or may be, under way
	LifeEnded   Life = "ended"   // started, and its task has ended
)

// Sighting is one instance as the infrastructure shows it.
type Sighting struct {
	Key       string // its name there: exactly one of our keys, or a look-alike
	Handle    []byte
	Life      Life
	Flavor    string // our name of its flavor, "" when it is none of ours
	Zone      string
	CreatedAt time.Time
}

// Description is what the manager has to know about an infrastructure.
type Description struct {
	Name        string        // the executor's infrastructure, such as "clever"
	Zone        string        // where instances are made
	Apart       bool          // an instance is known in the zone where it was made, and nowhere else
	Settle      time.Duration // an unknown create is absent after three lists over this time
	BillingStep time.Duration
	// Patience is how long one Create may take; 0 is the usual five minutes. Where it is
	// said, a Create whose job is not there any more is called off.
	Patience   time.Duration
	LostSignal string // which signal shows that an instance died; one sentence
}
