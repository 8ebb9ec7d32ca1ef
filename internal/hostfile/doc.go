// SPDX-License-Identifier: Apache-2.0

// Package hostfile renders what an instance is given: the Dockerfile, the
// sub-runner's configuration, the job, and the relay's instructions; and reads the
// relay's instructions back. It is pure: no I/O, no clock, and it does not send
// anything anywhere. The one idea: everything that comes in may be hostile, so
// nothing is pasted into a text; values are checked against a grammar or encoded,
// and no credential of ours is among them (I7).
package hostfile
