// SPDX-License-Identifier: Apache-2.0

package clever

import "time"

type originView struct {
	Action      string   `json:"action"`
	Cause       string   `json:"cause"`
	Source      string   `json:"source"`
	AuthorID    string   `json:"authorId"`
	Constraints []string `json:"constraints"`
	Priority    string   `json:"priority"`
}

type stepView struct {
	State string    `json:"state"`
	Date  time.Time `json:"date"`
}

type deploymentViewV4 struct {
	ID            string            `json:"id"`
	OwnerID       string            `json:"ownerId"`
	ApplicationID string            `json:"applicationId"`
	StartDate     time.Time         `json:"startDate"`
	State         string            `json:"state"`
	Steps         []stepView        `json:"steps"`
	Version       map[string]string `json:"version"`
	Origin        originView        `json:"origin"`
	Dedicated     bool              `json:"hasDedicatedBuild"`
}

// stateV4 says a deployment's state in the words of v4.
func (d *deployment) stateV4() string {
	if d.state == "WIP" && d.instance == "" {
		return "QUEUED"
	}
	return map[string]string{
		"WIP": "WORK_IN_PROGRESS", "TASK_RUNNING": "TASK_IN_PROGRESS", "OK": "SUCCEEDED",
		"FAIL": "FAILED", "CANCELLED": "CANCELLED",
	}[d.state]
}

func (d *deployment) viewV4(a *application) deploymentViewV4 {
	return deploymentViewV4{
		ID: d.uuid, OwnerID: a.org, ApplicationID: a.id, StartDate: d.at, State: d.stateV4(),
		Steps: []stepView{{d.stateV4(), d.at}}, Version: map[string]string{"commitId": d.commit},
		Origin: originView{Action: d.action, Cause: d.cause, Source: "git", AuthorID: "user_" + a.org, Constraints: []string{}, Priority: "DEFAULT"},
	}
}

func (s *Server) listDeploymentsV4(c *call) (any, error) {
	views := []deploymentViewV4{}
	for _, d := range c.page() {
		views = append(views, d.viewV4(c.app))
	}
	return views, nil
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

func (s *Server) listInstancesV4(c *call) (any, error) {
	views := []machineViewV4{}
	for _, d := range c.app.history {
		if d.instance == "" || c.r.URL.Query().Get("deploymentId") != "" && c.r.URL.Query().Get("deploymentId") != d.uuid {
			continue
		}
		views = append(views, machineViewV4{
			ID: d.instance, OwnerID: c.app.org, ApplicationID: c.app.id, DeploymentID: d.uuid, Name: c.app.spec.Name,
			Flavor: c.app.spec.MaxFlavor, State: d.machine, HypervisorID: "hv-sim", CreationDate: d.machineFrom,
			DeletionDate: timeOrNull(d.machineTo), Network: map[string]any{"ip": "127.0.0.1", "port": 8080},
		})
	}
	return views, nil
}
