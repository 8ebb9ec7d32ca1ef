// SPDX-License-Identifier: Apache-2.0

package clever

import "strings"

type envPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type instanceView struct {
	Type               string            `json:"type"`
	Version            string            `json:"version"`
	Variant            variantView       `json:"variant"`
	MinInstances       int               `json:"minInstances"`
	MaxInstances       int               `json:"maxInstances"`
	MaxAllowed         int               `json:"maxAllowedInstances"`
	MinFlavor          flavorView        `json:"minFlavor"`
	MaxFlavor          flavorView        `json:"maxFlavor"`
	Flavors            []flavorView      `json:"flavors"`
	DefaultEnv         map[string]string `json:"defaultEnv"`
	Lifetime           string            `json:"lifetime"`
	InstanceAndVersion string            `json:"instanceAndVersion"`
}

type repoView struct {
	Shutdownable bool   `json:"shutdownable"`
	Type         string `json:"type"`
	RepoState    string `json:"repoState"`
	URL          string `json:"url"`
	HTTPURL      string `json:"httpUrl"`
}

type vhostView struct {
	FQDN string `json:"fqdn"`
}

// appView is the platform's ApplicationView.
type appView struct {
	ID             string       `json:"id"`
	Name           string       `json:"name"`
	Description    string       `json:"description"`
	Zone           string       `json:"zone"`
	ZoneID         string       `json:"zoneId"`
	Instance       instanceView `json:"instance"`
	Deployment     repoView     `json:"deployment"`
	Vhosts         []vhostView  `json:"vhosts"`
	CreationDate   int64        `json:"creationDate"`
	LastDeploy     int          `json:"last_deploy"`
	Archived       bool         `json:"archived"`
	StickySessions bool         `json:"stickySessions"`
	Homogeneous    bool         `json:"homogeneous"`
	Favourite      bool         `json:"favourite"`
	CancelOnPush   bool         `json:"cancelOnPush"`
	WebhookURL     *string      `json:"webhookUrl"`
	WebhookSecret  *string      `json:"webhookSecret"`
	SeparateBuild  bool         `json:"separateBuild"`
	BuildFlavor    flavorView   `json:"buildFlavor"`
	OwnerID        string       `json:"ownerId"`
	State          string       `json:"state"`
	CommitID       *string      `json:"commitId"`
	Appliance      *string      `json:"appliance"`
	Branch         string       `json:"branch"`
	ForceHTTPS     string       `json:"forceHttps"`
	Env            []envPair    `json:"env"`
	DeployURL      string       `json:"deployUrl"`
}

// view shows an application to a client. Needs s.mu.
func (s *Server) view(c *call, a *application) appView {
	gitSSH := "git+ssh://git@" + strings.TrimPrefix(strings.TrimPrefix(c.base, "https://"), "http://") + "/" + a.id + ".git"
	v := appView{
		ID: a.id, Name: a.spec.Name, Description: a.spec.Description, Zone: a.spec.Zone, ZoneID: zoneID(a.spec.Zone),
		Instance: a.instanceView(),
		Deployment: repoView{
			Shutdownable: a.spec.Shutdownable, Type: "GIT", RepoState: "CREATING",
			URL: gitSSH, HTTPURL: c.base + "/git/" + a.id + ".git",
		},
		Vhosts: []vhostView{}, CreationDate: a.created.UnixMilli(), LastDeploy: len(a.history),
		Archived: a.spec.Archived, StickySessions: a.spec.StickySessions, Homogeneous: a.spec.Homogeneous,
		Favourite: a.spec.Favourite, CancelOnPush: a.spec.CancelOnPush, SeparateBuild: a.spec.SeparateBuild,
		OwnerID: a.org, State: s.platformState(a), Branch: a.spec.Branch, ForceHTTPS: a.spec.ForceHTTPS,
		Env: pairs(a.env), DeployURL: gitSSH,
	}
	for _, h := range a.vhosts {
		v.Vhosts = append(v.Vhosts, vhostView{h})
	}
	v.BuildFlavor, _ = flavorNamed(a.spec.BuildFlavor)
	if s.repoReady(a, c.now) {
		v.Deployment.RepoState = "CREATED"
	}
	v.CommitID = a.commit()
	return v
}

func (a *application) instanceView() instanceView {
	low, _ := flavorNamed(a.spec.MinFlavor)
	high, _ := flavorNamed(a.spec.MaxFlavor)
	context := ""
	if strings.HasPrefix(a.spec.MaxFlavor, heptapodContext+"-") {
		context = heptapodContext
	}
	return instanceView{
		Type: a.spec.InstanceType, Version: a.spec.InstanceVersion, Variant: a.variant,
		MinInstances: a.spec.MinInstances, MaxInstances: a.spec.MaxInstances, MaxAllowed: 40,
		MinFlavor: low, MaxFlavor: high, Flavors: flavors(context), DefaultEnv: map[string]string{},
		Lifetime: a.spec.InstanceLifetime, InstanceAndVersion: a.spec.InstanceType + "-" + a.spec.InstanceVersion,
	}
}

// commit is what was deployed last, null before.
func (a *application) commit() *string {
	if n := len(a.history); n > 0 {
		return &a.history[n-1].commit
	}
	return nil
}

// platformState is the state that the platform itself shows. Needs s.mu.
func (s *Server) platformState(a *application) string {
	if s.world.ApplicationState != "" {
		return s.world.ApplicationState
	}
	if a.state == stateBooting || a.state == stateRunning {
		return "SHOULD_BE_UP"
	}
	return "SHOULD_BE_DOWN"
}
