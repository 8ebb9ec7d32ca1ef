// SPDX-License-Identifier: Apache-2.0

// Package house holds the tests of what no single package can test: who may import
// whom, and the house rules that every file keeps. It has no code of its own and
// nothing imports it. The one idea: a rule that matters is a test with a table, and
// the table says why, so that it can be argued with.
package house
