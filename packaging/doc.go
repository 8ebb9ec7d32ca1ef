// SPDX-License-Identifier: Apache-2.0

// Package packaging is what the service is installed with: a systemd unit, a Debian
// package, a container image. The Go files here are the tests of that and nothing else.
// The one idea: what is tested is what is shipped, installed as a user would, in an
// overlay of this computer with a systemd of its own, so that nothing is left behind.
package packaging
