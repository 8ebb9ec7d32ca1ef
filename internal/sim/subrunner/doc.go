// SPDX-License-Identifier: Apache-2.0

// Package subrunner is the reference sub-runner of the simulators: it answers to
// `gitlab-runner run-single` and `exec-fetched-job` and behaves on the wire like
// gitlab-runner 17.9, so that a whole installation can be tried on one computer
// that has no gitlab-runner. A stock gitlab-runner can take its place unchanged.
//
// It is not a runner for real work: it knows one executor, a shell on this
// computer, and no cache, services or secrets.
//
// The one idea: everything that a job does on the machine goes through a small
// [Shell]. With the real one it is a program; with [Virtual] it is a timer, and
// the same protocol runs thousands of times in simulated time.
package subrunner
