// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"strconv"
	"time"
)

// orgView is an organisation; a personal space is shown as one too.
type orgView struct {
	ID               string  `json:"id"`
	Name             string  `json:"name"`
	Description      string  `json:"description"`
	BillingEmail     *string `json:"billingEmail"`
	Address          *string `json:"address"`
	City             *string `json:"city"`
	Zipcode          *string `json:"zipcode"`
	Country          *string `json:"country"`
	Company          *string `json:"company"`
	VAT              *string `json:"VAT"`
	Avatar           *string `json:"avatar"`
	VATState         string  `json:"vatState"`
	CustomerFullName *string `json:"customerFullName"`
	CanPay           bool    `json:"canPay"`
	Enterprise       bool    `json:"cleverEnterprise"`
	EmergencyNumber  *string `json:"emergencyNumber"`
	CanSEPA          bool    `json:"canSEPA"`
}

type userView struct {
	ID             string   `json:"id"`
	Email          string   `json:"email"`
	Name           string   `json:"name"`
	Phone          *string  `json:"phone"`
	Address        *string  `json:"address"`
	City           *string  `json:"city"`
	Zipcode        *string  `json:"zipcode"`
	Country        *string  `json:"country"`
	Avatar         *string  `json:"avatar"`
	CreationDate   int64    `json:"creationDate"`
	Lang           string   `json:"lang"`
	EmailValidated bool     `json:"emailValidated"`
	OAuthApps      []string `json:"oauthApps"`
	Admin          bool     `json:"admin"`
	CanPay         bool     `json:"canPay"`
	PreferredMFA   string   `json:"preferredMFA"`
	HasPassword    bool     `json:"hasPassword"`
}

type summaryApp struct {
	ID             string  `json:"id"`
	Name           string  `json:"name"`
	InstanceType   string  `json:"instanceType"`
	Variant        string  `json:"instanceVariant"`
	VariantSlug    string  `json:"variantSlug"`
	Archived       bool    `json:"archived"`
	Homogeneous    bool    `json:"homogeneous"`
	VariantLogoURL string  `json:"variantLogoUrl"`
	State          string  `json:"state"`
	CommitID       *string `json:"commit"`
}

// summaryOwned is what a summary says of a personal space and of an organisation.
type summaryOwned struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Avatar       *string        `json:"avatar"`
	Applications []summaryApp   `json:"applications"`
	Addons       []addonSummary `json:"addons"`
	Consumers    []any          `json:"consumers"`
	CanSEPA      bool           `json:"canSEPA"`
}

type summaryOrg struct {
	summaryOwned
	Role            string  `json:"role"`
	Providers       []any   `json:"providers"`
	VATState        string  `json:"vatState"`
	CanPay          bool    `json:"canPay"`
	Enterprise      bool    `json:"cleverEnterprise"`
	EmergencyNumber *string `json:"emergencyNumber"`
}

type summaryUser struct {
	summaryOwned
	Lang  string `json:"lang"`
	Admin bool   `json:"admin"`
}

type summaryView struct {
	User          summaryUser  `json:"user"`
	Organisations []summaryOrg `json:"organisations"`
}

// tokenView is the credential that a request shows.
type tokenView struct {
	Token           string    `json:"token"`
	Consumer        any       `json:"consumer"`
	CreationDate    timestamp `json:"creationDate"`
	ExpirationDate  timestamp `json:"expirationDate"`
	LastUtilisation timestamp `json:"lastUtilisation"`
	Rights          any       `json:"rights"`
}

// timestamp is a time in milliseconds, null when there is none.
type timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, time.Time(t).UnixMilli(), 10), nil
}

func (o *organisation) view() orgView {
	return orgView{ID: o.id, Name: o.id, VATState: "NOT_NEEDED", CanPay: true}
}

func (i *identity) view() userView {
	return userView{
		ID: i.id, Name: i.name, Email: i.email, CreationDate: i.created.UnixMilli(), Lang: "EN", EmailValidated: true,
		OAuthApps: []string{}, CanPay: true, PreferredMFA: "NONE", HasPassword: i.user != nil,
	}
}

func (i *identity) tokenView(at time.Time) tokenView {
	v := tokenView{Token: i.token, CreationDate: timestamp(i.created), ExpirationDate: timestamp(i.ends), LastUtilisation: timestamp(at)}
	if i.user != nil {
		v.Rights = map[string]bool{"almighty": true}
	}
	return v
}

func (s *Server) routeSelf(on func(string, handle)) {
	on("GET /v2/self", func(c *call) (any, error) { return c.who.view(), nil })
	on("GET /v2/self/id", func(c *call) (any, error) { return map[string]string{"id": c.who.id}, nil })
	on("GET /v2/self/tokens", func(c *call) (any, error) { return []tokenView{c.who.tokenView(c.now)}, nil })
	on("GET /v2/self/tokens/current", func(c *call) (any, error) { return c.who.tokenView(c.now), nil })
	on("GET /v2/summary", s.summary)
	on("GET /v2/organisations", func(c *call) (any, error) {
		list := []orgView{}
		for _, id := range c.who.orgs {
			if id != c.who.personal && s.orgs[id] != nil {
				list = append(list, s.orgs[id].view())
			}
		}
		return list, nil
	})
}

// summary shows everything that the caller may see.
func (s *Server) summary(c *call) (any, error) {
	v := summaryView{Organisations: []summaryOrg{}}
	v.User = summaryUser{summaryOwned: s.summaryOf(c, c.who.personal), Lang: "EN"}
	v.User.ID, v.User.Name = c.who.id, c.who.name
	for _, id := range c.who.orgs {
		if id != c.who.personal {
			v.Organisations = append(v.Organisations, summaryOrg{
				summaryOwned: s.summaryOf(c, id), Role: "ADMIN", Providers: []any{}, VATState: "NOT_NEEDED", CanPay: true,
			})
		}
	}
	return v, nil
}

func (s *Server) summaryOf(c *call, owner string) summaryOwned {
	v := summaryOwned{ID: owner, Name: owner, Applications: []summaryApp{}, Addons: []addonSummary{}, Consumers: []any{}}
	for _, a := range s.listed(owner, c.now) {
		v.Applications = append(v.Applications, summaryApp{
			ID: a.id, Name: a.spec.Name, InstanceType: a.spec.InstanceType, Variant: a.variant.ID, VariantSlug: a.variant.Slug,
			Archived: a.spec.Archived, Homogeneous: a.spec.Homogeneous, VariantLogoURL: a.variant.Logo,
			State: s.platformState(a), CommitID: a.commit(),
		})
	}
	for _, x := range s.addons {
		if x.org == owner {
			v.Addons = append(v.Addons, addonSummary{ID: x.id, RealID: x.realID, Name: x.name, ProviderID: providerID})
		}
	}
	return v
}

func (s *Server) routeOrganisation(on func(string, handle)) {
	on("GET "+orgPath, func(c *call) (any, error) { return c.org.view(), nil })
	on("GET "+orgPath+"/applications", s.list)
	on("POST "+orgPath+"/applications", s.create)
	on("GET "+orgPath+"/deployments", s.listAllDeployments)
}

// listed gives the applications of an owner that lists show: those that exist, or that
// existed a while ago. Needs s.mu.
func (s *Server) listed(owner string, at time.Time) []*application {
	at = at.Add(-seconds(s.world.StaleListsSeconds))
	var list []*application
	for _, a := range s.apps {
		if a.org == owner && !a.created.After(at) && (a.deleted.IsZero() || a.deleted.After(at)) {
			list = append(list, a)
		}
	}
	return list
}

func (s *Server) list(c *call) (any, error) {
	views := []appView{}
	for _, a := range s.listed(c.org.id, c.now) {
		if kind := c.r.URL.Query().Get("instanceId"); kind != "" && kind != a.spec.InstanceType {
			continue
		}
		views = append(views, s.view(c, a))
	}
	return views, nil
}
