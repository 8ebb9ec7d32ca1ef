// SPDX-License-Identifier: Apache-2.0

// Package relay is the small program on an instance that stands between the one
// job's sub-runner and the coordinator. It hands the job out exactly once, passes
// on what the sub-runner reports, and answers for the job when the sub-runner
// cannot. It is not a general proxy: every path, token and address that may pass
// is written down in access.go, and all else is refused.
//
// The one idea: the relay keeps its own copy of the job's trace. A byte that the
// sub-runner sent is on disk here before it goes on, so every mishap between here
// and the coordinator has the same remedy, which is to send from the copy what the
// coordinator says it does not have.
//
// # Offsets
//
// The manager, and then the relay, write to the trace before the sub-runner does.
// The sub-runner counts from 0 all the same, so its offsets are shifted by the
// base: the size of what was there first. Content-Range is shifted on the way up,
// Range on the way down, and the checksum and size of an update are recomputed. A
// 416 whose size the relay can't explain by what it sent itself moves the base,
// never the sub-runner, which would skip its own bytes. When the content below the
// base is not known any more, the checksum is left out: a wrong one is worse.
//
// # Outages
//
// A coordinator that can't be reached, or answers 408, 429 or 5xx, is down. For
// the first 20 seconds the sub-runner is told so (502, or the coordinator's own
// answer with its Retry-After) and does what it does without a relay: it keeps its
// bytes and tries again. That costs it at most six of the ten tries that
// gitlab-runner 17.9 has for its last calls. After that the relay takes over:
//
//   - a PATCH is answered 202 from the relay's copy, with the last Job-Status
//     known, and replayed, in order, as soon as the coordinator answers;
//   - a final update is answered 202 with an interval, which makes any sub-runner
//     wait and send it again without a limit; it is never told that its result
//     has arrived before it has;
//   - if the sub-runner ends first, the relay sends the rest of the trace and the
//     final update itself, for up to three hours;
//   - a PUT of state=running is a mere sign of life and never fails: it is answered
//     200, so that no version drops its job for it;
//   - artifacts are streamed and never kept, so they wait at the door (before a
//     byte of them is read) until the coordinator answers.
//
// # Files
//
// Beside relay.json the relay writes relay-state.json (what was handed out and
// promised, synced before it is acted upon), runner-relay.toml (the sub-runner's
// configuration, 0600) and relay-trace (the copy).
package relay
