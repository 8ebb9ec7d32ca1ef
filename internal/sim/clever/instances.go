// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"slices"
	"strconv"
	"time"
)

const idNoSuchMachine = 4408 // the platform's own is not known

type machineView struct {
	ID             string        `json:"id"`
	AppID          string        `json:"appId"`
	IP             string        `json:"ip"`
	AppPort        int           `json:"appPort"`
	State          string        `json:"state"`
	Flavor         machineFlavor `json:"flavor"`
	Commit         string        `json:"commit"`
	DeployNumber   int           `json:"deployNumber"`
	DeployID       string        `json:"deployId"`
	InstanceNumber int           `json:"instanceNumber"`
	DisplayName    string        `json:"displayName"`
	CreationDate   int64         `json:"creationDate"`
}

type machineFlavor struct {
	Name  string  `json:"name"`
	Mem   int     `json:"mem"`
	Cpus  int     `json:"cpus"`
	Price float64 `json:"price"`
}

type machineViewV4 struct {
	ID            string     `json:"id"`
	OwnerID       string     `json:"ownerId"`
	ApplicationID string     `json:"applicationId"`
	DeploymentID  string     `json:"deploymentId"`
	Name          string     `json:"name"`
	Flavor        string     `json:"flavor"`
	Index         int        `json:"index"`
	State         string     `json:"state"`
	HypervisorID  string     `json:"hypervisorId"`
	CreationDate  time.Time  `json:"creationDate"`
	DeletionDate  *time.Time `json:"deletionDate"`
	Network       any        `json:"network"`
	IsBuildVM     bool       `json:"isBuildVm"`
}

func (s *Server) routeInstances(on func(string, handle)) {
	on("GET "+appPath+"/instances", s.listInstances)
	on("POST "+appPath+"/instances", s.redeploy)
	on("DELETE "+appPath+"/instances", s.undeploy)
	on("GET "+v4AppPath+"/instances", s.listInstancesV4)
	on("GET "+v4AppPath+"/instances/{instance}", func(c *call) (any, error) {
		for _, d := range c.app.history {
			if d.instance != "" && d.instance == c.r.PathValue("instance") {
				return d.machineViewV4(c.app, c.now), nil
			}
		}
		return nil, notFound(idNoSuchMachine, "The specified instance doesn't exist")
	})
}

func (s *Server) listInstances(c *call) (any, error) {
	q := c.r.URL.Query()
	views := []machineView{}
	flavor, _ := flavorNamed(c.app.spec.MaxFlavor)
	for _, d := range c.app.history {
		state := d.machineState(c.now)
		switch {
		case d.instance == "", q.Get("deploymentId") != "" && q.Get("deploymentId") != d.uuid,
			state == "DELETED" && q.Get("withDeleted") != "true":
			continue
		}
		views = append(views, machineView{
			ID: d.instance, AppID: c.app.id, IP: "127.0.0.1", AppPort: 8080, State: state,
			Flavor: machineFlavor{flavor.Name, flavor.Mem, flavor.Cpus, flavor.Price},
			Commit: d.commit, DeployNumber: d.n, DeployID: d.uuid, DisplayName: c.app.spec.Name,
			CreationDate: d.machineFrom.UnixMilli(),
		})
	}
	return views, nil
}

// listInstancesV4 shows machines that are gone too, unless the query says otherwise.
func (s *Server) listInstancesV4(c *call) (any, error) {
	if err := c.limited(); err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	since, _ := time.Parse(time.RFC3339, q.Get("since"))
	until, _ := time.Parse(time.RFC3339, q.Get("until"))
	views := []machineViewV4{}
	for _, d := range c.app.history {
		state := d.machineState(c.now)
		switch {
		case d.instance == "", q.Get("deploymentId") != "" && q.Get("deploymentId") != d.uuid,
			q.Has("includeState") && !slices.Contains(q["includeState"], state), slices.Contains(q["excludeState"], state),
			!d.machineTo.IsZero() && d.machineTo.Before(since), !until.IsZero() && d.machineFrom.After(until):
			continue
		}
		views = append(views, d.machineViewV4(c.app, c.now))
	}
	if q.Get("order") == "DESC" {
		slices.Reverse(views)
	}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil {
		views = views[:min(n, len(views))]
	}
	return views, nil
}

func (d *deployment) machineViewV4(a *application, at time.Time) machineViewV4 {
	v := machineViewV4{
		ID: d.instance, OwnerID: a.org, ApplicationID: a.id, DeploymentID: d.uuid, Name: a.spec.Name,
		Flavor: a.spec.MaxFlavor, State: d.machineState(at), HypervisorID: "hv-sim", CreationDate: d.machineFrom,
		Network: map[string]any{"ip": "127.0.0.1", "port": 8080},
	}
	if v.State == "DELETED" {
		v.DeletionDate = timeOrNull(d.machineTo)
	}
	return v
}
