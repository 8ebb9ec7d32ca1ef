// SPDX-License-Identifier: Apache-2.0

// Package enginetest holds the tests of the relay on a real Docker Engine: relay and
// sub-runner in a container that has the engine's socket mounted, the job's
// containers beside it. It has no code of its own; standin and sibling below it are
// programs for those containers. The one idea: what a job is promised, and what it
// may not do, is tried where it happens, in networks that the kernel makes.
//
// The sub-runner is the stand-in, or a stock gitlab-runner when GITLAB_RUNNER_BINARY
// names one or one is on PATH.
package enginetest
