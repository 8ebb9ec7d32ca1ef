// SPDX-License-Identifier: Apache-2.0

// Package coordinator is the client of a GitLab or Heptapod server: it asks for
// jobs, touches and ends them, appends to their traces and reads their status. It
// is not the judge of what an answer means for a job, and it retries nothing: the
// manager decides.
//
// The one idea: every call ends within its own time with a value or with an error
// that says what may have happened over there (fleet.ClassOf). An answer that
// granted a job is never dropped: when its body can't be read, id and token are
// still looked for, so that the job can be failed.
package coordinator
