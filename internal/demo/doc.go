// SPDX-License-Identifier: Apache-2.0

// Package demo shows the whole system at work on one computer: a simulated GitLab, a
// simulated Clever Cloud and the real service, as separate processes of the same
// program, and a dozen jobs with all that can happen to a job.
//
// It is not a test of any package, and it imports none: it sees what a user sees,
// processes and HTTP. The one idea: every job says beforehand how it must end, and the
// simulators, not the service, are asked how it did.
package demo
