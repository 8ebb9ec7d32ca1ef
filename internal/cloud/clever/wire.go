// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// application is what we read of Clever Cloud's ApplicationView.
type application struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Zone         string `json:"zone"`
	State        string `json:"state"`
	CommitID     string `json:"commitId"` // null until something was pushed
	CreationDate millis `json:"creationDate"`
	Instance     struct {
		MaxFlavor struct {
			Name string `json:"name"`
		} `json:"maxFlavor"`
	} `json:"instance"`
	Deployment struct {
		RepoState string `json:"repoState"`
		HTTPURL   string `json:"httpUrl"`
	} `json:"deployment"`
	Env []variable `json:"env"`
}

// ready tells whether the deployment repository can be pushed to.
func (a application) ready() bool {
	return a.Deployment.RepoState == "CREATED" && a.Deployment.HTTPURL != ""
}

// doomed tells whether the deployment repository will never be there.
func (a application) doomed() bool {
	return a.Deployment.RepoState == "DELETED" || a.Deployment.RepoState == "NOT_NEEDED"
}

// mustBe is the last look before anything is done to an application: its name has
// to be exactly our key.
func (a application) mustBe(key string) error {
	if a.Name == key {
		return nil
	}
	return &fleet.CallError{
		Class: fleet.Permanent,
		Err:   fmt.Errorf("application %s is named %.80q and not %s: %w", a.ID, a.Name, key, fleet.ErrNotOurs),
	}
}

// millis is a time in milliseconds; what is not a number is the zero time.
type millis struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler and never fails: a date is no reason
// to lose sight of an instance.
func (m *millis) UnmarshalJSON(text []byte) error {
	if ms, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64); err == nil && ms > 0 && ms < 1e14 {
		m.Time = time.UnixMilli(int64(ms)).UTC()
	}
	return nil
}

// deployment is what we read of a DeploymentView.
type deployment struct {
	State  string `json:"state"`
	Action string `json:"action"`
}

// product is what we read of an entry of /products/instances.
type product struct {
	Type    string `json:"type"`
	Version string `json:"version"`
	Name    string `json:"name"`
	Variant struct {
		ID   string `json:"id"`
		Slug string `json:"slug"`
	} `json:"variant"`
}

// handle is what is kept of an application to find it again. It holds only what
// never changes during the application's life, since handles are compared; and no
// credential.
type handle struct {
	AppID string `json:"app_id"`
	Org   string `json:"org"`
}

// Handle makes the handle of an application that another program made. Its organisation
// may be left out when it is not known: it is then that of the tenant who acts.
func Handle(appID, org string) []byte {
	text, _ := json.Marshal(handle{AppID: appID, Org: org}) // strings always encode
	return text
}

func parseHandle(ref cloud.Ref) (handle, error) {
	var h handle
	if err := json.Unmarshal(ref.Handle, &h); err != nil {
		return handle{}, errors.New("the handle is not ours")
	}
	h.Org = cmp.Or(h.Org, ref.Tenant.ID)
	if h.AppID == "" || h.Org == "" {
		return handle{}, errors.New("the handle lacks app_id or org")
	}
	return h, nil
}

// path of the application in the API.
func (h handle) path() string {
	return applicationsPath(h.Org) + "/" + segment(h.AppID)
}

func applicationsPath(org string) string {
	return "/organisations/" + segment(org) + "/applications"
}

// segment escapes one path segment, dots included: it can't climb.
func segment(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// sighting makes the manager's view of an application.
func (p *Provisioner) sighting(app application, org string, life cloud.Life) cloud.Sighting {
	flavor, ours := strings.CutPrefix(app.Instance.MaxFlavor.Name, p.cfg.FlavorNamePrefix)
	if !ours {
		flavor = ""
	}
	return cloud.Sighting{
		Key: app.Name, Handle: Handle(app.ID, org), Life: life, Flavor: flavor, Zone: app.Zone, CreatedAt: app.CreationDate.Time,
	}
}
