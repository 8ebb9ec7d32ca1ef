// SPDX-License-Identifier: Apache-2.0

// Package memnet is a network in memory, on which whole services run in a
// testing/synctest bubble: real net/http servers and clients, no sockets.
//
// It does not lose, reorder or corrupt bytes as a bad network would; servers fail by
// package fault. The one idea: every connection has an owner, a named client that stands
// for one process, and cutting a client is what killing that process would do to the
// network: all its connections and listeners are gone at once, for ever.
//
// Connections are not kept alive, so that nothing of an answered request remains. A
// Network belongs to the bubble it was made in; Close it before the bubble ends.
package memnet
