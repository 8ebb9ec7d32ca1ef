// SPDX-License-Identifier: Apache-2.0

// Package api is what the service tells about itself over HTTP: health, metrics and
// its state as JSON; and the one thing that it is told, the notices of its
// instances. It holds the wire types, the server and the client of `status`.
//
// It decides nothing and keeps nothing: every answer is made of one picture that the
// Source gives at that moment, so that no two figures of one answer disagree.
package api
