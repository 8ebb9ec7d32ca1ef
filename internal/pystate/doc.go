// SPDX-License-Identifier: Apache-2.0

// Package pystate takes over what the Python program of this name left behind: the state
// file that it writes when it stops. Parse reads the file, in all its generations; Plan
// makes records for the ledger of it, in states from which the manager goes on as if it
// had launched the jobs itself. It asks nobody and decides nothing about jobs: what the
// file does not tell (is the job still running? does the application exist?) is for the
// manager to find out.
//
// The one idea: an instance is ours by the application's id that the file recorded, and
// goes on under the name that it has. Nothing is lost: what can't be tied to a runner of
// the configuration is recorded all the same, and tied when the runner is back.
package pystate
