// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "heptapod-paas-runner"

// rule says what of our own a package may import, and why it ends there.
type rule struct {
	pkg     string   // "x/*" stands for every package right below x
	imports []string // the same; nothing else of ours may be imported
	why     string
}

// below is what each row of rooms may use: the rows to its left.
var (
	words    = []string{"internal/fleet", "internal/secret"}
	plans    = join(words, "internal/config", "internal/schedule")
	adapters = join(plans, "internal/coordinator", "internal/store", "internal/gitpush", "internal/hostfile", "internal/cloud")
	clouds   = join(adapters, "internal/cloud/*")
	service  = join(clouds, "internal/manager")
)

// rules is the whole table: a package that is not in it fails the test, so that its
// place is decided when it is made.
var rules = []rule{
	{"internal/secret", nil, "everything prints secrets, so it stands below everything"},
	{"internal/fleet", []string{"internal/secret"}, "the vocabulary is pure"},
	{"internal/config", words, "the file is read before anything exists"},
	{"internal/schedule", words, "decisions are functions of values"},
	{"internal/coordinator", plans, "adapters never import each other: manager joins them"},
	{"internal/store", plans, "adapters never import each other: manager joins them"},
	{"internal/gitpush", plans, "adapters never import each other: manager joins them"},
	{"internal/hostfile", plans, "adapters never import each other: manager joins them"},
	{"internal/cloud", plans, "the contract knows no provisioner"},
	{"internal/cloud/*", join(plans, "internal/cloud", "internal/gitpush", "internal/hostfile"), "a provisioner knows neither ledger nor coordinator, nor another provisioner"},
	{"internal/cloud/docker/racer", nil, "a program for containers of tests"},
	{"internal/manager", clouds, "the only room that joins all adapters"},
	{"internal/online", adapters, "asks each adapter by itself; what joins them is handed in"},
	{"internal/pystate", clouds, "makes records of another program's: it knows the forms of all of them"},
	{"internal/register", service, "what both register programs do"},
	{"internal/api", join(words, "internal/manager"), "the wire types are also the client's"},
	{"internal/api/*", join(service, "internal/api"), "serves what the manager tells"},
	{"internal/web", join(service, "internal/api"), "shows what the API tells"},
	{"internal/relay", nil, "travels to every instance: the standard library only"},
	{"internal/relay/enginetest", nil, "tests of the relay on a real engine"},
	{"internal/relay/enginetest/*", nil, "programs for the containers of those tests"},
	{"internal/sim", nil, "only says what the simulators are"},
	{"internal/sim/*", []string{"internal/fleet", "internal/sim/*"}, "an independent reading of each protocol, or a misreading cancels itself out"},
	{"internal/sim/clever/spectest", nil, "holds answers against a description, whoever gives them"},
	{"internal/sim/clever/clienttest", nil, "tests of the programs of others on a simulator"},
	{"internal/e2e", []string{"internal/*", "internal/cloud/*", "internal/sim/*"}, "joins the whole service with the simulators, in tests only"},
	{"internal/e2e/onengine", nil, "tests of the whole service on a real engine"},
	{"internal/e2e/*", nil, "writes text, and runs what is built from it"},
	{"internal/demo", nil, "sees what a user sees: processes and HTTP"},
	{"internal/manual", nil, "writes down a command line, whatever it does"},
	{"internal/notify", nil, "a datagram to the service manager, whatever the service is"},
	{"internal/engine", nil, "starts Docker Engines for tests of any room"},
	{"internal/tlstest", nil, "bad servers for the tests of any client"},
	{"packaging", nil, "tests only"},
	{"packaging/image", nil, "makes a file of files, whatever is in them"},
	{"internal/house", nil, "tests only"},
	{"cmd/paas-relay", []string{"internal/relay"}, "travels to every instance: the standard library only"},
	{"cmd/*", join(service, "internal/pystate", "internal/register", "internal/online", "internal/manual", "internal/notify", "internal/api", "internal/api/*", "internal/web", "internal/demo", "internal/sim/*"), "joins everything"},
}

// testOnly are rooms that only tests may import.
var testOnly = []string{"internal/e2e", "internal/engine", "internal/house", "internal/cloud/cloudtest", "internal/tlstest", "internal/sim/clever/spectest"}

// pure are packages that must not reach the world, and what they may therefore not import.
var pure = map[string][]string{
	"internal/fleet":    {"net/http", "database/sql", "os", "log/slog", "time/tzdata"},
	"internal/schedule": {"net/http", "database/sql", "os", "log/slog", "math/rand", "math/rand/v2"},
}

// listed is what `go list` says about a package.
type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestWhoMayImportWhom(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		r, ok := ruleOf(name)
		if !ok {
			t.Errorf("%s is not in the table of who may import whom: decide its place", name)
			continue
		}
		for _, imported := range p.Imports {
			ours, is := strings.CutPrefix(imported, module+"/")
			if !is {
				continue
			}
			if !slices.ContainsFunc(r.imports, func(pattern string) bool { return matches(pattern, ours) }) {
				t.Errorf("%s imports %s: %s", name, ours, r.why)
			}
			if slices.Contains(testOnly, ours) {
				t.Errorf("%s imports %s, which is for tests only", name, ours)
			}
		}
		for _, forbidden := range pure[name] {
			if slices.Contains(p.Imports, forbidden) {
				t.Errorf("%s imports %s: it is pure", name, forbidden)
			}
		}
	}
}

func TestRelayIsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./cmd/paas-relay") {
		ours := strings.HasPrefix(p.ImportPath, module+"/")
		if !p.Standard && !ours {
			t.Errorf("paas-relay depends on %s: it travels to every instance", p.ImportPath)
		}
	}
}

// Each third-party module stays behind the rooms named here, so that it can be
// replaced there.
func TestThirdPartyModulesStayInTheirRooms(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"/") || !strings.Contains(strings.Split(imported, "/")[0], ".") {
				continue
			}
			rooms, known := roomsOf(imported)
			if !known {
				t.Errorf("%s imports %s, a module that no room is named for", name, imported)
			} else if !slices.ContainsFunc(rooms, func(pattern string) bool { return matches(pattern, name) }) {
				t.Errorf("%s imports %s, which belongs to %v", name, imported, rooms)
			}
		}
	}
}

// modules says which rooms may use which module.
var modules = map[string][]string{
	"github.com/BurntSushi/toml":          {"internal/config", "internal/hostfile", "internal/relay/enginetest/*", "internal/sim/*"},
	"github.com/alecthomas/kong":          {"cmd/heptapod-paas-runner", "cmd/heptapod-paas-runner-register", "internal/manual"},
	"github.com/lmittmann/tint":           {"cmd/heptapod-paas-runner"},
	"golang.org/x/term":                   {"cmd/heptapod-paas-runner", "internal/register"},
	"github.com/getkin/kin-openapi":       {"internal/sim/clever/spectest"},
	"github.com/go-git/go-git/v5":         {"internal/gitpush", "internal/sim/clever"},
	"github.com/go-git/go-billy/v5":       {"internal/gitpush", "internal/sim/clever"},
	"github.com/prometheus/client_golang": {"internal/api", "internal/api/server"},
	"github.com/moby/moby":                {"internal/cloud/docker"},
	"github.com/containerd/errdefs":       {"internal/cloud/docker"},
	"github.com/distribution/reference":   {"internal/cloud/docker"},
	"modernc.org/sqlite":                  {"internal/store"},
	"golang.org/x/sys":                    {"internal/register", "internal/store", "internal/engine", "internal/sim/launch", "cmd/heptapod-paas-runner"},
	"golang.org/x/sync":                   {"internal/*", "internal/sim/*", "internal/cloud/*", "cmd/heptapod-paas-runner"},
	"github.com/rogpeppe/go-internal":     {},
	"pgregory.net/rapid":                  {},
	"github.com/google/go-cmp":            {},
}

func roomsOf(imported string) ([]string, bool) {
	for mod, rooms := range modules {
		if imported == mod || strings.HasPrefix(imported, mod+"/") {
			return rooms, true
		}
	}
	return nil, false
}

// ruleOf finds a package's own row, else the row of its parent's children.
func ruleOf(name string) (rule, bool) {
	for _, r := range rules {
		if r.pkg == name {
			return r, true
		}
	}
	for _, r := range rules {
		if matches(r.pkg, name) {
			return r, true
		}
	}
	return rule{}, false
}

// matches tells whether a package is meant by a pattern of the table.
func matches(pattern, name string) bool {
	parent, wild := strings.CutSuffix(pattern, "/*")
	if !wild {
		return pattern == name
	}
	rest, below := strings.CutPrefix(name, parent+"/")
	return below && !strings.Contains(rest, "/")
}

func join(a []string, more ...string) []string { return append(slices.Clone(a), more...) }

// list runs `go list -json` at the top of the repository.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list %v: %v\n%s", args, err, exit.Stderr)
		}
		t.Fatalf("go list %v: %v", args, err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatalf("go list %v names no package", args)
	}
	return all
}

func TestPatternsMeanOneLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"internal/cloud", "internal/cloud", true},
		{"internal/cloud", "internal/cloud/clever", false},
		{"internal/cloud/*", "internal/cloud/clever", true},
		{"internal/cloud/*", "internal/cloud", false},
		{"internal/*", "internal/cloud/clever", false},
		{"internal/cloud/*", "internal/cloudy", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	if r, _ := ruleOf("internal/sim/gitlab"); r.pkg != "internal/sim/*" {
		t.Errorf("ruleOf(internal/sim/gitlab) = %+v", r)
	}
	if r, _ := ruleOf("cmd/paas-relay"); r.pkg != "cmd/paas-relay" {
		t.Errorf("ruleOf(cmd/paas-relay) = %+v", r)
	}
}
