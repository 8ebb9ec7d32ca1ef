// SPDX-License-Identifier: Apache-2.0

package fleet

import "slices"

// JobState is where a job stands with us.
type JobState string

// A job goes acquired → waiting → launching → starting → running → finished →
// closed; failing can be reached from every state before finished.
const (
	JobAcquired  JobState = "acquired"  // the 201 is committed; its size is not known yet
	JobWaiting   JobState = "waiting"   // waits for quota, ceiling or throttle
	JobLaunching JobState = "launching" // its instance is being created
	JobStarting  JobState = "starting"  // prefix frozen; the start is under way or done, no output yet
	JobRunning   JobState = "running"   // the sub-runner has written to the trace
	JobFailing   JobState = "failing"   // we have to report its end ourselves
	JobFinished  JobState = "finished"  // its end at the coordinator is proven
	JobClosed    JobState = "closed"    // finished, and its instance is gone or kept
)

// JobStates lists all states in the order of a job's life.
func JobStates() []JobState {
	return []JobState{JobAcquired, JobWaiting, JobLaunching, JobStarting, JobRunning, JobFailing, JobFinished, JobClosed}
}

var jobMoves = map[JobState][]JobState{
	JobAcquired:  {JobWaiting, JobFailing, JobFinished},
	JobWaiting:   {JobLaunching, JobFailing, JobFinished},
	JobLaunching: {JobStarting, JobFailing, JobFinished},
	JobStarting:  {JobRunning, JobFailing, JobFinished},
	JobRunning:   {JobFailing, JobFinished},
	JobFailing:   {JobFinished, JobRunning}, // running: the last probe found output after all
	JobFinished:  {JobClosed},
	JobClosed:    {},
}

// CanMove tells whether a job may go from one state to another.
func (s JobState) CanMove(to JobState) bool { return slices.Contains(jobMoves[s], to) }

// Open tells whether the job still has to be answered for.
func (s JobState) Open() bool { return s != JobClosed }

// Known tells whether s is one of the states above.
func (s JobState) Known() bool { _, ok := jobMoves[s]; return ok }

// InstanceState is where an instance stands.
type InstanceState string

// An instance goes intended → creating → created → started → deleting → gone;
// unknown when the answer to a create was lost; kept when the configuration asks.
const (
	InstanceIntended InstanceState = "intended" // recorded; no call made yet, or the last one did nothing
	InstanceCreating InstanceState = "creating" // the create call was sent
	InstanceUnknown  InstanceState = "unknown"  // its answer was lost: it may exist
	InstanceCreated  InstanceState = "created"  // it exists and its handle is known
	InstanceStarted  InstanceState = "started"  // the job was started on it
	InstanceDeleting InstanceState = "deleting" // being destroyed until confirmed absent
	InstanceKept     InstanceState = "kept"     // left on purpose; audit --forget ends it
	InstanceGone     InstanceState = "gone"     // confirmed absent
)

// InstanceStates lists all states in the order of an instance's life.
func InstanceStates() []InstanceState {
	return []InstanceState{
		InstanceIntended, InstanceCreating, InstanceUnknown, InstanceCreated,
		InstanceStarted, InstanceDeleting, InstanceKept, InstanceGone,
	}
}

var instanceMoves = map[InstanceState][]InstanceState{
	InstanceIntended: {InstanceCreating, InstanceGone},
	InstanceCreating: {InstanceCreated, InstanceUnknown, InstanceIntended, InstanceGone},
	InstanceUnknown:  {InstanceCreated, InstanceIntended, InstanceDeleting, InstanceGone},
	InstanceCreated:  {InstanceStarted, InstanceDeleting, InstanceKept, InstanceGone},
	InstanceStarted:  {InstanceDeleting, InstanceKept, InstanceGone},
	InstanceDeleting: {InstanceGone},
	InstanceKept:     {InstanceDeleting, InstanceGone},
	InstanceGone:     {InstanceDeleting}, // it came back in a list: a deletion that was accepted but not done
}

// CanMove tells whether an instance may go from one state to another.
func (s InstanceState) CanMove(to InstanceState) bool { return slices.Contains(instanceMoves[s], to) }

// Counts tells whether the instance's weight counts (I3: from intended until it
// is confirmed absent).
func (s InstanceState) Counts() bool { return s != InstanceGone }

// Exists tells whether a machine may exist for the record, as far as we know.
func (s InstanceState) Exists() bool { return s != InstanceGone && s != InstanceIntended }

// Known tells whether s is one of the states above.
func (s InstanceState) Known() bool { _, ok := instanceMoves[s]; return ok }
