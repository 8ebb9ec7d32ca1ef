// SPDX-License-Identifier: Apache-2.0

// Package clienttest holds tests only: programs and libraries of others, unmodified, go
// through the life of an application on the simulated Clever Cloud. They are Clever
// Cloud's command line, the current one and 3.14.0, its JavaScript client, its Go client,
// and git.
//
// It does not test our own client: that would tell only that both readings of the
// protocol are the same. The one idea: what others wrote against the real platform is the
// nearest thing to it that can be had without an account. On the way every answer is held
// against the platform's own description.
package clienttest
