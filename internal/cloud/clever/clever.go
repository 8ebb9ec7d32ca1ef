// SPDX-License-Identifier: Apache-2.0

// Package clever makes instances on Clever Cloud: one application per job, of the
// lifetime TASK, started by pushing its files to the application's deployment
// repository. It keeps no record of them and decides nothing about jobs. The one
// idea: Clever Cloud has no idempotency key, so the application's name is our key,
// and every answer is read for whether an application of that name may now exist.
package clever

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/gitpush"
	"heptapod-paas-runner/internal/secret"
)

// Config holds the settings of one runner's Clever Cloud. Zero values mean what
// is said in the comments.
type Config struct {
	APIURL           string        // https://api.clever-cloud.com/v2
	Zone             string        // par
	FlavorContext    string        // heptapod-runner
	FlavorNamePrefix string        // the context and a dash
	VariantUUID      string        // Clever Cloud's "Heptapod Docker Runner"
	AuthUser         string        // Jenkins: the user name for the deployment repository
	GitUser          string        // instead of AuthUser, and of what Auth says
	GitPassword      secret.String // instead of the tenant's credential, for the deployment repository
	DefaultFlavor    string        // M: for a Spec without a flavor
	ExtraEnv         map[string]string

	Auth           string // token; or bearer, oauth1
	ConsumerKey    string // of the OAuth1 consumer
	ConsumerSecret secret.String
	OAuthToken     secret.String // of the OAuth1 user; empty = in each tenant's token
	OAuthSecret    secret.String
	OAuthSignature string // PLAINTEXT; or HMAC-SHA512

	RepoTimeout  time.Duration // 20 s: for the deployment repository to be there
	RepoWaitStep time.Duration // 2 s: longest pause between two looks at it
	CallTimeout  time.Duration // 30 s: for one API call
	PushTimeout  time.Duration // 120 s: for one push or fetch
	CacheFor     time.Duration // 1 h: for products, flavors and prices
}

// Deps are what a Provisioner works with.
type Deps struct {
	Transport http.RoundTripper // nil = one of its own
	Auth      Authenticator     // nil = what Config.Auth says
	Packs     *gitpush.Cache    // shared by provisioners to compress the relay once; nil = one of its own
}

// Provisioner implements cloud.Provisioner.
type Provisioner struct {
	cfg      Config
	api      api
	git      *http.Client
	packs    *gitpush.Cache
	versions *cache[string]
	sizes    *cache[[]size]
	repos    *repositories
	envApart atomic.Bool // the platform refuses the environment in the body of a creation
}

var _ cloud.Provisioner = (*Provisioner)(nil)

// New makes a provisioner. It makes no call.
func New(cfg Config, deps Deps) (*Provisioner, error) {
	cfg = withDefaults(cfg)
	base, err := url.Parse(cfg.APIURL)
	if err != nil {
		return nil, errors.New("cc_api_url: not a URL")
	}
	if (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, fmt.Errorf("cc_api_url %q: want https://host/path, without user and query", base.Redacted())
	}
	transport := deps.Transport
	if transport == nil {
		transport = newTransport()
	}
	client := &http.Client{Transport: transport, CheckRedirect: neverFollow}
	auth := deps.Auth
	if auth == nil {
		if auth, err = cfg.authenticator(); err != nil {
			return nil, err
		}
	}
	packs := deps.Packs
	if packs == nil {
		packs = &gitpush.Cache{}
	}
	return &Provisioner{
		cfg:      cfg,
		api:      api{base: cfg.APIURL, http: client, auth: auth, timeout: cfg.CallTimeout},
		git:      client,
		packs:    packs,
		versions: newCache[string](),
		sizes:    newCache[[]size](),
		repos:    &repositories{urls: map[string]string{}},
	}, nil
}

func withDefaults(cfg Config) Config {
	cfg.APIURL = strings.TrimRight(cmp.Or(cfg.APIURL, "https://api.clever-cloud.com/v2"), "/")
	cfg.Zone = cmp.Or(cfg.Zone, "par")
	cfg.FlavorContext = cmp.Or(cfg.FlavorContext, "heptapod-runner")
	cfg.FlavorNamePrefix = cmp.Or(cfg.FlavorNamePrefix, cfg.FlavorContext+"-")
	cfg.VariantUUID = cmp.Or(cfg.VariantUUID, "70d676a0-a775-4dc9-a43d-3121036e8515")
	cfg.AuthUser = cmp.Or(cfg.AuthUser, "Jenkins")
	cfg.DefaultFlavor = cmp.Or(cfg.DefaultFlavor, "M")
	cfg.RepoTimeout = cmp.Or(cfg.RepoTimeout, 20*time.Second)
	cfg.RepoWaitStep = cmp.Or(cfg.RepoWaitStep, 2*time.Second)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, 30*time.Second)
	cfg.PushTimeout = cmp.Or(cfg.PushTimeout, 120*time.Second)
	cfg.CacheFor = cmp.Or(cfg.CacheFor, time.Hour)
	cfg.ExtraEnv = maps.Clone(cfg.ExtraEnv)
	return cfg
}

// Describe implements cloud.Provisioner.
func (p *Provisioner) Describe() cloud.Description {
	return cloud.Description{
		Name:        "clever",
		Zone:        p.cfg.Zone,
		Settle:      time.Minute,
		BillingStep: time.Duration(p.billingStep()) * time.Second,
		LostSignal:  "the application's newest deployment has failed or ended while its job has no final state",
	}
}

func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

// neverFollow makes a redirect an answer like any other: the credential goes to
// the configured host only.
func neverFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
