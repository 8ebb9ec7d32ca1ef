// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"fmt"
	"slices"
	"strings"
)

const (
	dockerVersion    = "20260601"
	dockerVariant    = "d5ff282b-dd1a-4c9a-a0c8-c9524b1370e9"
	heptapodVariant  = "70d676a0-a775-4dc9-a43d-3121036e8515"
	heptapodContext  = "heptapod-runner"
	nodeVersion      = "20260512"
	nodeVariant      = "395103fb-d6e2-4fdd-93bc-bc99146f1ea2"
	bytesPerMebibyte = 1 << 20
)

// routeCatalog lists what needs no credential.
func (s *Server) routeCatalog(on func(string, handle)) {
	on("GET /v2/products/instances", func(*call) (any, error) { return s.products(), nil })
	on("GET /v2/products/instances/{type}", func(c *call) (any, error) {
		for _, p := range s.products() {
			if p.Type+"-"+p.Version == c.r.PathValue("type") {
				return p, nil
			}
		}
		return nil, notFound(idNoSuchInstance, "The specified instance does not exist")
	})
	on("GET /v2/products/flavors", func(c *call) (any, error) { return flavors(c.r.URL.Query().Get("context")), nil })
	on("GET "+providersPath, func(*call) (any, error) { return []providerFullView{cellar()}, nil })
	on("GET "+providersPath+"/{provider}", func(c *call) (any, error) {
		if c.r.PathValue("provider") != providerID {
			return nil, notFound(idNoSuchAddon, "The specified add-on provider doesn't exist")
		}
		return cellar(), nil
	})
	on("GET /v2/products/zones", func(*call) (any, error) { return zonesV2(), nil })
	on("GET /v4/products/zones", s.listZones)
	price := func(c *call) (any, error) { return priceSystem(c.r.URL.Query().Get("zone_id")), nil }
	on("GET /v4/billing/price-system", price)
	on("GET /v4/billing/organisations/{org}/price-system", price)
}

// listZones shows those that have all the tags that are asked for.
func (s *Server) listZones(c *call) (any, error) {
	list := slices.DeleteFunc(zones(), func(z zoneView) bool {
		return slices.ContainsFunc(c.r.URL.Query()["tag"], func(tag string) bool { return !slices.Contains(z.Tags, tag) })
	})
	return list, nil
}

// size is one row of a price list.
type size struct {
	name      string
	cpus, mem int // mem in MiB
	price     float64
}

// The contexts with their sizes; prices in EUR per hour.
func runnerSizes() []size {
	return []size{
		{"XS", 1, 2048, 0.1111}, {"S", 2, 4096, 0.2778}, {"M", 4, 8192, 0.5556}, {"L", 6, 12288, 0.8333},
		{"XL", 8, 16384, 1.1111}, {"2XL", 12, 24576, 1.8333}, {"3XL", 16, 32768, 2.6667},
	}
}

func appSizes() []size {
	return []size{
		{"nano", 1, 512, 0.00833}, {"XS", 1, 1024, 0.0222}, {"S", 2, 2048, 0.0444}, {"M", 4, 4096, 0.1056},
		{"L", 6, 8192, 0.2111}, {"XL", 8, 16384, 0.4222}, {"2XL", 12, 24576, 0.6667}, {"3XL", 16, 32768, 0.8889},
	}
}

type memoryView struct {
	Unit      string `json:"unit"`
	Value     int64  `json:"value"`
	Formatted string `json:"formatted"`
}

type flavorView struct {
	Name            string     `json:"name"`
	Mem             int        `json:"mem"`
	Cpus            int        `json:"cpus"`
	Gpus            int        `json:"gpus"`
	Disk            *int       `json:"disk"`
	Price           float64    `json:"price"`
	Available       bool       `json:"available"`
	Microservice    bool       `json:"microservice"`
	MachineLearning bool       `json:"machine_learning"`
	Nice            int        `json:"nice"`
	PriceID         string     `json:"price_id"`
	Memory          memoryView `json:"memory"`
	RBDImage        *string    `json:"rbdimage"`

	hourly float64 // in EUR
}

func (s size) view(context string) flavorView {
	v := flavorView{
		Name: s.name, Mem: s.mem, Cpus: s.cpus, Price: s.price * 7, Available: true, hourly: s.price,
		PriceID: "apps." + s.name,
		Memory:  memoryView{Unit: "B", Value: int64(s.mem) * bytesPerMebibyte, Formatted: formatMiB(s.mem)},
	}
	if context == heptapodContext {
		v.Name = heptapodContext + "-" + s.name
		v.PriceID = heptapodContext + "." + s.name
		v.Microservice, v.Nice = true, 5
	}
	return v
}

func formatMiB(mib int) string {
	if mib%1024 == 0 {
		return fmt.Sprintf("%d GiB", mib/1024)
	}
	return fmt.Sprintf("%d MiB", mib)
}

// flavors lists the flavors of a context; "" is that of plain applications. An
// unknown context has none.
func flavors(context string) []flavorView {
	sizes := map[string][]size{"": appSizes(), heptapodContext: runnerSizes()}[context]
	views := make([]flavorView, 0, len(sizes))
	for _, s := range sizes {
		views = append(views, s.view(context))
	}
	return views
}

// flavorNamed finds a flavor by its API name in any context.
func flavorNamed(name string) (flavorView, bool) {
	for _, context := range []string{"", heptapodContext} {
		for _, f := range flavors(context) {
			if f.Name == name {
				return f, true
			}
		}
	}
	return flavorView{}, false
}

type variantView struct {
	ID         string `json:"id"`
	Slug       string `json:"slug"`
	Name       string `json:"name"`
	DeployType string `json:"deployType"`
	Logo       string `json:"logo"`
}

type productView struct {
	Type          string       `json:"type"`
	Version       string       `json:"version"`
	Name          string       `json:"name"`
	Variant       variantView  `json:"variant"`
	Description   string       `json:"description"`
	Enabled       bool         `json:"enabled"`
	ComingSoon    bool         `json:"comingSoon"`
	MaxInstances  int          `json:"maxInstances"`
	Tags          []string     `json:"tags"`
	Deployments   []string     `json:"deployments"`
	Flavors       []flavorView `json:"flavors"`
	DefaultFlavor flavorView   `json:"defaultFlavor"`
	BuildFlavor   flavorView   `json:"buildFlavor"`
}

// products lists the types of instances. The runner's own variant of docker is
// not public, as on the real platform. Needs s.mu.
func (s *Server) products() []productView {
	return []productView{
		product("node", nodeVersion, "Node", variantView{nodeVariant, "node", "Node", "node", ""}),
		product("docker", s.world.DockerVersion, "Docker", variantView{dockerVariant, "docker", "Docker", "docker", ""}),
	}
}

func product(kind, version, name string, variant variantView) productView {
	list := flavors("")
	return productView{
		Type: kind, Version: version, Name: name, Variant: variant, Description: "Deploy your " + name + " application",
		Enabled: true, MaxInstances: 40, Tags: []string{}, Deployments: []string{"git"},
		Flavors: list, DefaultFlavor: list[1], BuildFlavor: list[3],
	}
}

// variantOf checks the triple that a creation names. An empty variant is that of
// plain docker. Needs s.mu.
func (s *Server) variantOf(kind, version, variant string) (variantView, bool) {
	if kind == "docker" && version == s.world.DockerVersion && variant == heptapodVariant {
		return variantView{heptapodVariant, heptapodContext, "Heptapod Docker Runner", "docker", ""}, true
	}
	for _, p := range s.products() {
		if p.Type == kind && p.Version == version && (variant == "" || variant == p.Variant.ID) {
			return p.Variant, true
		}
	}
	return variantView{}, false
}

type zoneView struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Country     string   `json:"country"`
	CountryCode string   `json:"countryCode"`
	City        string   `json:"city"`
	DisplayName string   `json:"displayName"`
	Lat         float64  `json:"lat"`
	Lon         float64  `json:"lon"`
	OutboundIPs []string `json:"outboundIPs"`
	Tags        []string `json:"tags"`
	Status      string   `json:"status"`
}

func zones() []zoneView {
	var list []zoneView
	for _, name := range zoneNames() {
		list = append(list, zoneView{
			ID: zoneID(name), Name: name, DisplayName: strings.ToUpper(name),
			OutboundIPs: []string{}, Tags: []string{"for:applications"}, Status: "ACTIVE",
		})
	}
	return list
}

func zoneNames() []string {
	return []string{"par", "parhds", "grahds", "rbx", "rbxhds", "scw", "ldn", "mtl", "sgp", "syd", "wsw"}
}

func zoneID(name string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", slices.Index(zoneNames(), name))
}

// zoneViewV2 is a zone as version 2 shows it.
type zoneViewV2 struct {
	Name     string `json:"name"`
	Internal bool   `json:"internal"`
	Region   string `json:"correspondingRegion"`
}

func zonesV2() []zoneViewV2 {
	var list []zoneViewV2
	for _, name := range zoneNames() {
		list = append(list, zoneViewV2{Name: name, Region: name})
	}
	return list
}

type priceView struct {
	RuntimePolicyID string  `json:"runtime_policy_id"`
	Source          string  `json:"source"`
	Flavor          string  `json:"flavor"`
	TimeUnit        string  `json:"time_unit"`
	Price           float64 `json:"price"`
	SlugID          string  `json:"slug_id"`
}

type priceSystemView struct {
	ID        string      `json:"id"`
	ZoneID    string      `json:"zone_id"`
	Currency  string      `json:"currency"`
	Runtime   []priceView `json:"runtime"`
	Countable []any       `json:"countable"`
}

func priceSystem(zone string) priceSystemView {
	view := priceSystemView{ID: "price_system_sim", ZoneID: strings.ToUpper(zone), Currency: "EUR", Countable: []any{}}
	for _, c := range []struct {
		source string
		sizes  []size
	}{{"apps", appSizes()}, {heptapodContext, runnerSizes()}} {
		for _, s := range c.sizes {
			view.Runtime = append(view.Runtime, priceView{
				RuntimePolicyID: c.source + "-" + s.name, Source: c.source, Flavor: s.name, TimeUnit: "PT1H",
				Price: s.price, SlugID: strings.ToLower(c.source + "." + s.name),
			})
		}
	}
	return view
}
