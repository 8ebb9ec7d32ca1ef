// SPDX-License-Identifier: Apache-2.0

// Package fault is the control part that all simulated servers share: it makes chosen
// requests fail in chosen ways and remembers every request that arrived.
//
// It knows nothing of what the server behind it serves. The one idea: faults wrap a whole
// http.Handler from outside, so that the simulator itself never has to pretend to be broken.
//
//	POST   /_sim/faults    add a fault
//	GET    /_sim/faults    list them, with how often each will still strike
//	DELETE /_sim/faults    clear them
//	GET    /_sim/requests  every request that was not for a control endpoint
package fault
