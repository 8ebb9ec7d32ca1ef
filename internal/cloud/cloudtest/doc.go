// SPDX-License-Identifier: Apache-2.0

// Package cloudtest is the contract of cloud.Provisioner as tests: what every
// provisioner must do, whatever infrastructure is behind it. It knows none of them;
// each one's tests bring a Harness. The one idea: the manager's promises rest on
// these answers, so a provisioner that fails here leaks machines or destroys
// somebody else's.
package cloudtest

import (
	"testing"
	"testing/synctest"

	"heptapod-paas-runner/internal/cloud"
)

// Call is a call to the infrastructure that has an effect.
type Call string

// The calls that can be made to go wrong.
const (
	Create  Call = "create"
	Start   Call = "start"
	Destroy Call = "destroy"
)

// Harness is one pretend infrastructure, made for one test inside a bubble of
// simulated time. Its functions act on the infrastructure behind the provisioner's
// back and fail the test themselves.
type Harness struct {
	Provisioner cloud.Provisioner // without retries
	Tenant      cloud.Tenant
	Neighbour   cloud.Tenant // another tenant there
	Single      bool         // there are no tenants: whoever reaches the infrastructure owns all of it
	Flavor      string       // one that can be had

	Foreign    func(name string)               // makes an instance of the tenant that the provisioner did not make
	Exists     func() []string                 // names of all instances of the tenant that exist, in any order
	LoseAnswer func(call Call)                 // the next such call is performed, its answer lost
	Break      func(call Call)                 // the next such call fails on the other side, without effect
	Hang       func(call Call)                 // the next such call is not answered for hours
	EndTask    func(t *testing.T, name string) // what was started on the instance ends now
}

// Run holds a provisioner to the contract. harness is called in each test's own
// bubble and cleans up with t.Cleanup.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	t.Helper()
	for name, test := range all() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if h := harness(t); !h.Single || !ofTenants(name) {
					test(t, h)
				}
			})
		})
	}
}

// ofTenants tells the tests that say something about two tenants, or about one's credential.
func ofTenants(name string) bool {
	return name == "list shows nothing of a neighbour" || name == "a refused credential destroys nothing"
}

func all() map[string]func(*testing.T, Harness) {
	return map[string]func(*testing.T, Harness){
		"everyone sees what create made":               everyoneSeesTheSame,
		"an unknown flavor is refused at once":         unknownFlavor,
		"flavors are ordered by weight":                flavorsInOrder,
		"many creates at once":                         manyAtOnce,
		"a lost answer of create is unknown":           lostCreate,
		"a broken create is unknown and not there":     brokenCreate,
		"a hanging create ends as unknown":             hangingCreate,
		"list shows what carries the mark only":        listShowsTheMark,
		"list shows nothing of a neighbour":            listOfNeighbour,
		"what does not exist is not found":             notFound,
		"start happens once":                           startOnce,
		"start of a look-alike is refused":             startOfLookAlike,
		"a lost answer of start can be asked again":    lostStart,
		"a hanging start ends":                         hangingStart,
		"what was started can be recovered":            recoverFiles,
		"what was not started can't be recovered":      recoverNothing,
		"life follows the task":                        life,
		"destroy works from every state":               destroyEveryState,
		"destroy by key alone":                         destroyByKey,
		"destroy refuses a look-alike":                 destroyLookAlike,
		"a lost answer of destroy can be repeated":     lostDestroy,
		"a broken destroy leaves it there":             brokenDestroy,
		"a hanging destroy ends":                       hangingDestroy,
		"a refused credential destroys nothing":        refusedCredential,
		"a cancelled call ends and lies about nothing": cancelled,
	}
}
