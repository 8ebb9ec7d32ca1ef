// SPDX-License-Identifier: Apache-2.0

// Package manager is the service itself: it acquires jobs, gives each an instance,
// watches it to its proven end and removes the instance. It is the only package
// that changes job and instance states.
//
// The one idea: one goroutine owns all state. It takes events (an answer arrived, a
// timer fired), decides with pure functions what each job needs next, commits the
// decision to the ledger and only then hands out the call. Workers do I/O and report
// back; they never touch state. Decisions look at recorded state alone, so a restart
// after kill -9 goes on where the records say, by the same code.
//
// It is not a client of anything itself (coordinator, cloud, store are) and serves no
// HTTP (api does).
package manager
