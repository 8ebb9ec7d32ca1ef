// SPDX-License-Identifier: Apache-2.0

// Package fleet is the vocabulary of the program: jobs, instances, their states
// and legal moves, flavors and weights, owners and keys, and the three classes of
// errors. It is pure: no I/O, no clock, no logging. Every other package may
// import it, and it imports none of them.
package fleet
