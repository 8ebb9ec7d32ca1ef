// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// Status is the state of the service at one moment, as /api/v1/status gives it. Times
// are UTC, null until they happen. Weights are decimal numbers written as strings,
// so that no reader rounds them.
type Status struct {
	Version      string         `json:"version"`
	StartedAt    *time.Time     `json:"started_at"`
	At           time.Time      `json:"at"`
	Ready        bool           `json:"ready"`
	Reasons      []string       `json:"reasons"` // why it is not ready
	Quota        Quota          `json:"quota"`
	Concurrent   Count          `json:"concurrent"`          // open jobs
	Provisioning Count          `json:"provisioning"`        // instances that do not run their job yet
	Results      map[string]int `json:"results"`             // closed jobs since the start
	LostGrants   int            `json:"lost_at_acquisition"` // jobs found since the start that were granted and not recorded (I1)
	Fuse         string         `json:"fuse"`                // why nothing unrecorded is destroyed; "" = the fuse is whole
	Runners      []Runner       `json:"runners"`
	Jobs         []Job          `json:"jobs"`
	Instances    []Instance     `json:"instances"`
	Strangers    []string       `json:"strangers"`   // keys of ours that no record explains
	Unexplained  int            `json:"unexplained"` // by an audit at this moment
	ProvenAt     *time.Time     `json:"proven_at"`   // of that audit: the oldest list compared; null = a cloud never answered
	Breakers     []Breaker      `json:"breakers"`    // kinds of instances whose making fails
}

// Quota is the weight in use and the weight allowed.
type Quota struct {
	Used  string `json:"used"`
	Total string `json:"total"`
}

// Count is a number of things and how many are allowed at once.
type Count struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

// Runner is one runner.
type Runner struct {
	Name         string       `json:"name"`
	Coordinator  string       `json:"coordinator"`
	Owner        string       `json:"owner"`
	Executor     string       `json:"executor"`
	Polling      bool         `json:"polling"`       // a job request is open
	Waits        string       `json:"waits"`         // why it is not asked for jobs; "" = it is
	PollFailures int          `json:"poll_failures"` // in a row
	Problem      string       `json:"problem"`       // with its cloud; "" = none
	ListedAt     *time.Time   `json:"listed_at"`     // its cloud's instances
	Credentials  []Credential `json:"credentials"`   // for its cloud, those whose end is known
}

// Credential is one with which a runner acts on its cloud. Of itself it tells nothing.
type Credential struct {
	Tenant string    `json:"tenant"` // "*" = a user that the runner acts as for all tenants
	EndsAt time.Time `json:"ends_at"`
}

// Job is one job that is not closed.
type Job struct {
	ID            int64      `json:"id"`
	Coordinator   string     `json:"coordinator"`
	Runner        string     `json:"runner"`
	State         string     `json:"state"`
	Name          string     `json:"name"`
	Project       string     `json:"project"`
	URL           string     `json:"url"`
	Tenant        string     `json:"tenant"`
	Flavor        string     `json:"flavor"`
	Weight        string     `json:"weight"`
	Instance      string     `json:"instance"` // key
	WaitsFor      string     `json:"waits_for"`
	FailureReason string     `json:"failure_reason"`
	FailureText   string     `json:"failure_text"`
	Result        string     `json:"result"`
	AcquiredAt    *time.Time `json:"acquired_at"`
	WaitsSince    *time.Time `json:"waits_since"`
	LaunchingAt   *time.Time `json:"launching_at"`
	StartingAt    *time.Time `json:"starting_at"`
	RunningAt     *time.Time `json:"running_at"`
	CancelAt      *time.Time `json:"cancel_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}

// Instance is one instance that is not confirmed absent.
type Instance struct {
	Key         string     `json:"key"`
	JobID       int64      `json:"job_id"`
	Coordinator string     `json:"coordinator"`
	Runner      string     `json:"runner"`
	Tenant      string     `json:"tenant"`
	Provisioner string     `json:"provisioner"`
	Zone        string     `json:"zone"`
	Flavor      string     `json:"flavor"`
	Weight      string     `json:"weight"`
	State       string     `json:"state"`
	Creates     int        `json:"creates"`
	Destroys    int        `json:"destroys"`
	LastError   string     `json:"last_error"`
	IntendedAt  *time.Time `json:"intended_at"`
	CreatedAt   *time.Time `json:"created_at"`
	StartedAt   *time.Time `json:"started_at"`
	DeletingAt  *time.Time `json:"deleting_at"`
}

// Breaker is a kind of instance whose making fails.
type Breaker struct {
	Provisioner string     `json:"provisioner"`
	Zone        string     `json:"zone"`
	Tenant      string     `json:"tenant"`
	Flavor      string     `json:"flavor"`
	State       string     `json:"state"`    // open: none is made; half-open: one is tried; closed: it failed less than three times
	Failures    int        `json:"failures"` // in a row
	Since       *time.Time `json:"since"`
	Next        *time.Time `json:"next"`    // when one is tried
	Problem     string     `json:"problem"` // what the platform said last
}

// Notice is what an instance posts to /api/v1/notice, with its bearer.
type Notice struct {
	Key   string `json:"key"`
	Event string `json:"event"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
}

// Problem is the body of every error, as application/problem+json.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Error implements error: the client returns problems as they came.
func (p *Problem) Error() string { return p.Detail }

// Time gives the wire form of a time: nil for the zero time.
func Time(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
