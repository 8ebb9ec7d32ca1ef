// SPDX-License-Identifier: Apache-2.0

// Package gitlab is the pretend GitLab: it queues jobs that are posted to a control
// endpoint, hands them to runners over the real runner protocol, and keeps what the
// runners report.
//
// It has no pipelines, users or pages, and it runs nothing. The one idea: it answers as
// the real server does also where that is inconvenient — a long poll that saw a change
// still brings no job, a trace limit is checked before the offset, a job that stays
// silent is dropped — since these are the answers that clients get wrong.
//
// Where a repeated append ends exactly at the end of the trace it is answered 202, as in
// GitLab: the bytes are there already.
package gitlab
