// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/clever"
)

var update = flag.Bool("update", false, "write the golden files")

func TestCatalogNeedsNoCredential(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{}), token: ""}
	var list []struct{ Name, Type, Version string }
	a.get("GET", "/v2/products/instances?for=orga_sim", "", &list)
	if !slices.ContainsFunc(list, func(p struct{ Name, Type, Version string }) bool { return p.Name == "Docker" && p.Type == "docker" }) {
		t.Errorf("instances %v", list)
	}
	var flavors []struct {
		Name      string
		Mem, Cpus int
		Available bool
		PriceID   string `json:"price_id"`
		Memory    struct{ Value int64 }
	}
	a.get("GET", "/v2/products/flavors?context=heptapod-runner", "", &flavors)
	var names []string
	for _, f := range flavors {
		names = append(names, f.Name)
		if !f.Available || f.Memory.Value != int64(f.Mem)<<20 || !strings.HasPrefix(f.PriceID, "heptapod-runner.") {
			t.Errorf("flavor %+v", f)
		}
	}
	want := "heptapod-runner-XS heptapod-runner-S heptapod-runner-M heptapod-runner-L heptapod-runner-XL heptapod-runner-2XL heptapod-runner-3XL"
	if strings.Join(names, " ") != want || flavors[6].Mem != 32768 || flavors[6].Cpus != 16 {
		t.Errorf("flavors %+v", flavors)
	}
	var price struct {
		Runtime []struct {
			SlugID string `json:"slug_id"`
			Price  float64
		}
	}
	a.get("GET", "/v4/billing/price-system?zone_id=PAR", "", &price)
	if len(price.Runtime) != 15 {
		t.Errorf("%d prices", len(price.Runtime))
	}
}

func TestCreationIsChecked(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
	change := func(old, by string) string { return strings.Replace(newBody("x"), old, by, 1) }
	a.refused("POST", apps, change("20260601", "20200101"), http.StatusBadRequest, 9017)
	a.refused("POST", apps, change(`"instanceVersion":"20260601",`, ""), http.StatusBadRequest, 9017)
	a.refused("POST", apps, change("70d676a0", "00000000"), http.StatusBadRequest, 9017)
	a.refused("POST", apps, change("runner-M", "runner-9XL"), http.StatusBadRequest, 400)
	a.refused("POST", apps, change(`"zone":"par"`, `"zone":"moon"`), http.StatusBadRequest, 400)
	a.refused("POST", apps, change(`"name":"x"`, `"name":""`), http.StatusBadRequest, 400)
	a.refused("POST", apps, change(`"TASK"`, `"FOREVER"`), http.StatusBadRequest, 400)
	a.refused("POST", apps, change(`"minInstances":1`, `"minInstances":"one"`), http.StatusBadRequest, 400)
	a.refused("POST", apps, "nonsense", http.StatusBadRequest, 400)
	if n := len(a.s.Applications()); n != 0 {
		t.Errorf("%d applications exist", n)
	}
	// Nothing makes a creation idempotent.
	if one, two := a.create("same"), a.create("same"); one.ID == two.ID || len(a.s.Applications()) != 2 {
		t.Errorf("%s and %s", one.ID, two.ID)
	}
}

func TestEnvironmentAndTags(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
	app := a.create("one")
	at := apps + "/" + app.ID
	var view appAnswer
	a.get("PUT", at+"/env", `{"A":"1","B":"2"}`, &view)
	if len(view.Env) != 2 || view.Env[0].Name != "A" || view.Env[0].Value != "1" {
		t.Errorf("env %v", view.Env)
	}
	a.get("PUT", at+"/env?check=true", `{"C":"3"}`, nil)
	a.get("PUT", at+"/env/D", `{"value":"4"}`, nil)
	a.get("DELETE", at+"/env/A", "", nil)
	a.refused("PUT", at+"/env", `{"A":1}`, http.StatusBadRequest, 400)
	if diff := cmp.Diff(map[string]string{"B": "2", "D": "4"}, a.s.Applications()[0].Env); diff != "" {
		t.Error(diff)
	}
	var tags []string
	a.get("PUT", at+"/tags/x", "", nil)
	a.get("PUT", at+"/tags/x", "", nil)
	a.get("PUT", at+"/tags/y", "", nil)
	a.get("DELETE", at+"/tags/x", "", &tags)
	if len(tags) != 1 || tags[0] != "y" {
		t.Errorf("tags %v", tags)
	}
	a.refused("GET", at+"/vhosts/favourite", "", http.StatusNotFound, 4021)
	a.get("PUT", at, `{"description":"new"}`, &view)
	if view.Name != "one" || view.Instance.MaxFlavor.Name != "heptapod-runner-M" {
		t.Errorf("after an edit %+v", view)
	}
}

func TestListOfDeploymentsHasALimit(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
	app := a.create("one")
	at := apps + "/" + app.ID
	a.refused("POST", at+"/instances", "", http.StatusBadRequest, 400)
	pushOK(t, a.s, app.ID, given())
	for range 14 {
		a.get("POST", at+"/instances", "", nil)
	}
	for query, want := range map[string]int{"": 10, "?limit=3": 3, "?limit=100": 15, "?limit=100&offset=14": 1, "?offset=99": 0, "?action=UNDEPLOY": 0} {
		var list []struct{ ID int }
		a.get("GET", at+"/deployments"+query, "", &list)
		if len(list) != want || want == 10 && list[0].ID != 15 {
			t.Errorf("%q: %v", query, list)
		}
	}
	var v4 []struct{ State string }
	a.get("GET", "/v4/orchestration"+strings.TrimPrefix(at, "/v2")+"/deployments?limit=100", "", &v4)
	if len(v4) != 15 || v4[0].State != "QUEUED" || v4[14].State != "WORK_IN_PROGRESS" {
		t.Errorf("v4 %v", v4)
	}
	var machines []struct{ State, DeployID string }
	a.get("GET", at+"/instances", "", &machines)
	if len(machines) != 1 || machines[0].State != "BOOTING" {
		t.Errorf("instances %v", machines)
	}
	a.get("DELETE", at+"/instances", "", nil)
	a.get("GET", at+"/instances", "", &machines)
	if len(machines) != 0 || a.s.Applications()[0].State != "ended" {
		t.Errorf("after a stop %v, %s", machines, a.s.Applications()[0].State)
	}
}

func TestControlEndpoints(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{URL: "http://clever.test", Seed: 7}), token: clever.FirstToken}
	check := func(method, path, body string, status int, want string) {
		t.Helper()
		got, raw := a.do(method, path, body)
		if got != status || !strings.Contains(string(raw), want) {
			t.Errorf("%s %s %s = %d %s, want %d with %s", method, path, body, got, raw, status, want)
		}
	}
	check("GET", "/_sim/applications", "", 200, "[]\n")
	check("PUT", "/_sim/organisations/orga_b", `{"token":"b"}`, 200, `{"id":"orga_b"}`)
	check("PUT", "/_sim/organisations/orga_b", `{"token":"b","x":1}`, 400, "unknown field")
	check("PUT", "/_sim/organisations/orga_b", `{}`, 400, "token is missing")
	check("POST", "/_sim/foreign", `{"name":"theirs","organisation":"orga_b"}`, 201, `{"id":"app_`)
	check("POST", "/_sim/foreign", `{"name":"theirs","organisation":"orga_c"}`, 400, "no such organisation")
	check("POST", "/_sim/foreign", `{"name":"","organisation":"orga_b"}`, 400, "name is missing")
	check("POST", "/_sim/foreign", `{"label":"x"}`, 400, "unknown field")
	check("POST", "/_sim/faults", `{"match":"POST /v2/organisations/*/applications","status":503,"body":"busy"}`, 201, `{"id":1}`)
	check("POST", apps, newBody("one"), 503, "busy")
	app := a.create("one")
	pushOK(t, a.s, app.ID, given())
	check("GET", "/_sim/requests", "", 200, `"path":"/v2/organisations/orga_sim/applications","query":"","user_agent":"","status":503,"fault":1`)

	_, raw := a.do("GET", "/_sim/applications", "")
	var pretty any
	if err := json.Unmarshal(raw, &pretty); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(pretty, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	when := regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)
	got := when.ReplaceAllString(string(indented), `"TIME"`)
	got = regexp.MustCompile(`"vm_seconds": [0-9.]+`).ReplaceAllString(got, `"vm_seconds": 0`) + "\n"
	golden(t, "testdata/applications.json", got)
	for _, shown := range a.s.Applications() {
		if age := time.Since(shown.CreatedAt); age < 0 || age > time.Minute {
			t.Errorf("created %v ago", age)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
