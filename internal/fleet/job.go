// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"time"

	"heptapod-paas-runner/internal/secret"
)

// JobID identifies a job: a coordinator's normalised URL and the id it gave.
type JobID struct {
	Coordinator string
	ID          int64
}

// Job is the ledger's record of one acquired job. The zero time means "not yet".
// Times are UTC with microseconds, as the ledger keeps them.
type Job struct {
	JobID
	Owner  Owner  // the registration that acquired it
	Runner string // the runner's name at that time
	State  JobState

	Token   secret.String // the job's own token
	Payload []byte        // the job as granted; removed once it is started
	Nonce   secret.String // random, per job: the stand-in token and the notice bearer come from it

	Name    string // the CI job's name, project path and page, for people
	Project string
	WebURL  string
	Tenant  string // who pays (an organisation id); "" until it is known
	// Namespace is the top-level group whose attributes name the tenant and its
	// credential; "" when the runner's own configuration does.
	Namespace string
	// NamespaceID is the coordinator's id of that group, which stays when it is renamed; 0
	// when the coordinator does not tell it.
	NamespaceID int64
	Flavor      string        // "" until sized
	Weight      Weight        // 0 until sized
	Timeout     time.Duration // the job's own time limit (runner_info.timeout)
	Seq         int64         // order of acquisition

	// Prefix is what we wrote to the trace, committed before it is appended; the
	// first PrefixAcked bytes are known to have arrived. PrefixFrozen is set by
	// the commit before Start.
	Prefix       string
	PrefixAcked  int64
	PrefixFrozen bool

	// How we end it, set when it starts failing: the reason sent to the
	// coordinator and the sentence for the user.
	FailureReason string
	FailureText   string
	// FailureMark is one more than the trace offset chosen for FailureText,
	// committed before it is appended; 0 = not chosen yet.
	FailureMark int64
	// CancelAt is when the coordinator was first seen to be canceling the job.
	CancelAt time.Time
	// Result is the proven end: success, failed, canceled, or lost when the
	// coordinator no longer answers for the job.
	Result string

	AcquiredAt  time.Time
	LaunchingAt time.Time
	StartingAt  time.Time
	RunningAt   time.Time
	FinishedAt  time.Time
	ClosedAt    time.Time
}

// Instance is the ledger's record of one instance.
type Instance struct {
	Key         string
	Job         JobID
	Owner       Owner
	Runner      string
	Tenant      string
	Namespace   string // as in Job
	NamespaceID int64
	Provisioner string
	Zone        string
	Flavor      string
	Weight      Weight
	State       InstanceState
	Handle      []byte // the provisioner's own; empty until created
	Started     bool   // Start was sent at least once; never reset
	Creates     int    // create calls sent
	Destroys    int    // destroy calls sent
	LastError   string // of the last failed call, for audit; never a secret

	IntendedAt time.Time
	CreatedAt  time.Time
	StartedAt  time.Time
	DeletingAt time.Time
	GoneAt     time.Time
}

// File is one file of what an instance is given.
type File struct {
	Path       string // relative, slash-separated, no ".."
	Data       []byte
	Executable bool
}
