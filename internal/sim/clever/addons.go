// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"maps"
	"slices"
	"time"
)

const (
	providerID     = "cellar-addon"
	idNoSuchAddon  = 4003 // the platform's own is not known
	cellarHost     = "cellar-c2.services.clever-cloud.com"
	cellarPlanS    = "plan_00000000-0000-4000-8000-000000000001"
	cellarRegion   = "par"
	addonsPath     = orgPath + "/addons"
	providersPath  = "/v2/products/addonproviders"
	appAddonsPath  = appPath + "/addons"
	appNeedsPath   = appPath + "/dependencies"
	addonFreePrice = 0.0
)

// addon is something that applications can be linked to: an object storage.
type addon struct {
	id, realID, org, name, region string
	env                           map[string]string
	created                       time.Time
}

type addonSummary struct {
	ID         string  `json:"id"`
	RealID     string  `json:"realId"`
	Name       string  `json:"name"`
	ProviderID string  `json:"providerId"`
	LogoURL    *string `json:"logoUrl"`
}

type planView struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Slug     string   `json:"slug"`
	Price    float64  `json:"price"`
	PriceID  string   `json:"price_id"`
	Features []any    `json:"features"`
	Zones    []string `json:"zones"`
}

type providerView struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Website      string   `json:"website"`
	SupportEmail string   `json:"supportEmail"`
	GooglePlus   string   `json:"googlePlusName"`
	Twitter      string   `json:"twitterName"`
	AnalyticsID  string   `json:"analyticsId"`
	ShortDesc    string   `json:"shortDesc"`
	LongDesc     string   `json:"longDesc"`
	LogoURL      string   `json:"logoUrl"`
	Status       string   `json:"status"`
	OpenInNewTab bool     `json:"openInNewTab"`
	CanUpgrade   bool     `json:"canUpgrade"`
	Regions      []string `json:"regions"`
}

type providerFullView struct {
	providerView
	Plans    []planView `json:"plans"`
	Features []any      `json:"features"`
}

type addonView struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	RealID       string       `json:"realId"`
	Region       string       `json:"region"`
	ZoneID       string       `json:"zoneId"`
	Provider     providerView `json:"provider"`
	Plan         planView     `json:"plan"`
	CreationDate int64        `json:"creationDate"`
	ConfigKeys   []string     `json:"configKeys"`
}

func cellar() providerFullView {
	return providerFullView{
		providerView: providerView{
			ID: providerID, Name: "Cellar S3 storage", ShortDesc: "S3-like object storage service", Status: "RELEASE",
			OpenInNewTab: true, Regions: []string{cellarRegion, "rbx"},
		},
		Plans: []planView{{
			ID: cellarPlanS, Name: "S", Slug: "s", Price: addonFreePrice, PriceID: "cellar." + "s", Features: []any{},
			Zones: []string{cellarRegion, "rbx"},
		}},
		Features: []any{},
	}
}

func (x *addon) view() addonView {
	p := cellar()
	return addonView{
		ID: x.id, Name: x.name, RealID: x.realID, Region: x.region, ZoneID: zoneID(x.region), Provider: p.providerView, Plan: p.Plans[0],
		CreationDate: x.created.UnixMilli(), ConfigKeys: slices.Sorted(maps.Keys(x.env)),
	}
}

// routeAddons lists what can be done with object storages.
func (s *Server) routeAddons(org, app func(string, handle)) {
	one := func(h func(*call, *addon) (any, error)) handle {
		return func(c *call) (any, error) {
			for _, x := range s.addons {
				if id := c.r.PathValue("addon"); x.org == c.org.id && (x.id == id || x.realID == id) {
					return h(c, x)
				}
			}
			return nil, notFound(idNoSuchAddon, "The specified add-on doesn't exist")
		}
	}
	org("GET "+addonsPath, func(c *call) (any, error) { return s.addonViews(func(x *addon) bool { return x.org == c.org.id }), nil })
	org("POST "+addonsPath, s.createAddon)
	org("POST "+addonsPath+"/preorders", s.preorderAddon)
	org("GET "+addonsPath+"/{addon}", one(func(_ *call, x *addon) (any, error) { return x.view(), nil }))
	org("PUT "+addonsPath+"/{addon}", one(s.editAddon))
	org("DELETE "+addonsPath+"/{addon}", one(s.deleteAddon))
	org("GET "+addonsPath+"/{addon}/env", one(func(_ *call, x *addon) (any, error) { return pairs(x.env), nil }))
	app("GET "+appAddonsPath, func(c *call) (any, error) {
		return s.addonViews(func(x *addon) bool { return slices.Contains(c.app.linked, x.id) }), nil
	})
	app("POST "+appAddonsPath, s.linkAddon)
	app("DELETE "+appAddonsPath+"/{addon}", one(func(c *call, x *addon) (any, error) {
		c.app.linked = slices.DeleteFunc(c.app.linked, func(id string) bool { return id == x.id })
		return success(0, "The add-on has been unlinked"), nil
	}))
	app("GET "+appAddonsPath+"/env", s.linkedEnv)
}

func (s *Server) addonViews(which func(*addon) bool) []addonView {
	list := []addonView{}
	for _, x := range s.addons {
		if which(x) {
			list = append(list, x.view())
		}
	}
	return list
}

// wantedAddon reads and checks what a creation names.
func (c *call) wantedAddon() (addon, error) {
	var body struct{ Name, Plan, ProviderID, Region string }
	if err := c.decode(&body); err != nil {
		return addon{}, err
	}
	p := cellar()
	switch {
	case body.ProviderID != p.ID:
		return addon{}, badRequest("The add-on provider %q does not exist", body.ProviderID)
	case body.Plan != p.Plans[0].ID:
		return addon{}, badRequest("The plan %q does not exist", body.Plan)
	case !slices.Contains(p.Regions, body.Region):
		return addon{}, badRequest("The region %q does not exist", body.Region)
	}
	return addon{org: c.org.id, name: body.Name, region: body.Region, created: c.now}, nil
}

func (s *Server) createAddon(c *call) (any, error) {
	x, err := c.wantedAddon()
	if err != nil {
		return nil, err
	}
	x.id, x.realID = s.newID("addon"), s.newID("cellar")
	x.env = map[string]string{
		"CELLAR_ADDON_HOST": cellarHost, "CELLAR_ADDON_KEY_ID": s.newID("SIMKEY"), "CELLAR_ADDON_KEY_SECRET": s.newID("simsecret"),
	}
	s.addons = append(s.addons, &x)
	return x.view(), nil
}

// preorderAddon says what a creation would cost: nothing until something is stored.
func (s *Server) preorderAddon(c *call) (any, error) {
	if _, err := c.wantedAddon(); err != nil {
		return nil, err
	}
	return map[string]any{"totalHT": 0, "totalVAT": 0, "totalTTC": 0, "lines": []any{}}, nil
}

func (s *Server) editAddon(c *call, x *addon) (any, error) {
	var body struct{ Name string }
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Name != "" {
		x.name = body.Name
	}
	return x.view(), nil
}

func (s *Server) deleteAddon(_ *call, x *addon) (any, error) {
	s.addons = slices.DeleteFunc(s.addons, func(other *addon) bool { return other == x })
	for _, a := range s.apps {
		a.linked = slices.DeleteFunc(a.linked, func(id string) bool { return id == x.id })
	}
	return success(0, "The add-on has successfully been deleted."), nil
}

// linkAddon is told the add-on's id as a JSON string.
func (s *Server) linkAddon(c *call) (any, error) {
	var id string
	if err := c.decode(&id); err != nil {
		return nil, err
	}
	for _, x := range s.addons {
		if x.org == c.org.id && (x.id == id || x.realID == id) {
			if !slices.Contains(c.app.linked, x.id) {
				c.app.linked = append(c.app.linked, x.id)
			}
			return success(0, "The add-on has been linked"), nil
		}
	}
	return nil, notFound(idNoSuchAddon, "The specified add-on doesn't exist")
}

func (s *Server) linkedEnv(c *call) (any, error) {
	type linked struct {
		Provider string    `json:"provider_id"`
		ID       string    `json:"addon_id"`
		Name     string    `json:"addon_name"`
		Env      []envPair `json:"env"`
	}
	list := []linked{}
	for _, x := range s.addons {
		if slices.Contains(c.app.linked, x.id) {
			list = append(list, linked{providerID, x.id, x.name, pairs(x.env)})
		}
	}
	return list, nil
}
