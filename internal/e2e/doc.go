// SPDX-License-Identifier: Apache-2.0

// Package e2e holds tests only: the whole service, unmodified, in simulated time
// against the simulators, with a real ledger file and an in-memory network. The power
// is cut at every commit and before and after every outside call; the service is
// started again, and when all is quiet one checker looks at the invariants I1 to I7.
//
// The one idea: everything that can differ between two runs comes from the seed, so a
// history (the list of crash points and their times) is a function of it, and a failure
// can be repeated by its seed and the name of its crash point.
package e2e
