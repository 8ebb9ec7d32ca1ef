// SPDX-License-Identifier: Apache-2.0

// Package launch runs what the simulated cloud would run on its machines.
//
// [Process] runs a task's entry point as a process of this computer, in a folder
// of its own, with `gitlab-runner` in its PATH. [Virtual] runs no process: it
// speaks the sub-runner's side of the protocol itself and only waits.
//
// The one idea: a machine is a folder and everything that was started from it;
// destroying the machine ends all of that at once, without asking.
package launch
