// SPDX-License-Identifier: Apache-2.0

package pystate

import (
	"encoding/json"

	"heptapod-paas-runner/internal/secret"
)

// State is the content of a state file.
type State struct {
	Generation     string // which releases wrote such a file
	Launched       []Handle
	Pending        []Pending
	ToDecommission []Handle
	Standby        []Handle
	Unread         []string // keys of the file that no known release writes
}

// Handle is one job as the Python program kept it.
type Handle struct {
	RunnerName     string // the first 8 characters of the runner's token
	JobID          int64
	Token          secret.String // of the job
	TraceOffset    int64         // what the program itself wrote to the job's log
	ExpectedWeight float64       // 0 = not in the file
	Resource       *Resource     // nil = none was made, as far as it knew
}

// Pending is a job that was acquired and not seen to run.
type Pending struct {
	Handle
	Payload json.RawMessage // as the coordinator granted it; nil when it is not in the file
}

// The kinds of resource.
const (
	KindClever  = "clever-docker"
	KindService = "clever-service-docker" // the same, with the helper service on it
	KindTest    = "service-docker"
	KindLocal   = "local-docker"
)

// Resource is what was made for a job.
type Resource struct {
	Kind      string
	ID        string // of the application, or the name of the local image
	Namespace string // the top-level group whose attributes name the tenant; "" = single-tenant
	Weight    float64
	Launched  bool // the job was pushed to it, or handed to its helper
}

// onClever tells whether a resource is an application of Clever Cloud.
func (r *Resource) onClever() bool {
	return r != nil && (r.Kind == KindClever || r.Kind == KindService)
}
