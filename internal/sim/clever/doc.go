// SPDX-License-Identifier: Apache-2.0

// Package clever is a pretend Clever Cloud: the v2 API, the parts of v4 that its
// own clients call, git over smart HTTP, and machines that boot, run what was
// pushed and end. It is close enough that git and the platform's own command
// line work against it unchanged.
//
// It is not a client and shares no code with ours: it is a second, independent
// reading of the protocol, so that a misreading cannot cancel itself out.
//
// The one idea: everything lives in memory and every wait is a timer, so the same
// server runs behind a real port and inside a bubble of testing/synctest. What
// would be a machine is a call of a [Launcher].
package clever
