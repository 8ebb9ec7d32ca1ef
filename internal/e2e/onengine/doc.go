// SPDX-License-Identifier: Apache-2.0

// Package onengine holds the tests of the whole service with the executor local-docker: the
// real program as a process, on a real Docker Engine, for simulated coordinators that both
// it and the jobs reach over real sockets. It has no code of its own. The one idea: whatever
// happens to a job, its instance, the service or the engine, nothing of ours is left on the
// engine, nothing of others is touched, and the coordinator knows the right end.
package onengine
