// SPDX-License-Identifier: Apache-2.0

// Package engine starts a real Docker Engine for tests. It is test support only:
// nothing that runs in earnest imports it, and it is no client for such programs.
//
// The one idea: the engine lives in namespaces of its own. Its processes, mounts and
// networks (bridges, routes, firewall rules) are seen by nobody else, so it disturbs
// no other engine on the computer, and all of it is gone when its first process is
// killed, also when the test that started it dies. Images come from files of this
// computer; no registry is asked.
//
// It needs root, and of Debian docker.io, iptables, iproute2 and busybox-static.
package engine
