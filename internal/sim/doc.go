// SPDX-License-Identifier: Apache-2.0

// Package sim is the room of the simulators: a pretend GitLab, a pretend Clever Cloud,
// the sub-runner that a real instance would run, and the network between them. They
// speak the real wire protocols, so that the real client programs work against them.
//
// It is no mock: nothing here knows what the service under test expects, and nothing of
// the service's own code is used. The one idea: a second, independent reading of each
// protocol, so that a misreading cannot cancel itself out.
//
//	sim/fault      the control part that all servers share: faults and the record of requests
//	sim/memnet     an in-memory network that works in a synctest bubble
//	sim/gitlab     the pretend GitLab
//	sim/clever     the pretend Clever Cloud
//	sim/launch     runs an instance's entry point as a process
//	sim/subrunner  the reference sub-runner
package sim
