// SPDX-License-Identifier: Apache-2.0

// Package config reads the configuration file: the TOML file of gitlab-runner with the
// keys of this program among it. Known keys are typed and checked; the keys of
// [[runners]] that are not ours are kept as they are, for the sub-runner. It makes no
// outside call. The one idea: everything that is wrong with a file is said at once, each
// problem with its line, what was found and what is allowed.
package config

import (
	"fmt"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Config is a valid configuration file.
type Config struct {
	Path      string
	StateFile string // absolute

	Concurrent                 int           // jobs at once over all runners
	CheckInterval              time.Duration // between two polls of a coordinator that has no job
	JobProgressInterval        time.Duration // between two questions about a running job
	MaxProvisioning            int           // instances not yet running a job at once
	MaxParked                  time.Duration // how long an acquired job may wait for room
	MinBetweenLaunches         time.Duration
	PollCycles                 int  // the service ends after so many requests of each runner; 0 = never, and no key
	KeepFinished               bool // nothing is decommissioned
	DecommissionLaunchFailures bool
	Quota                      Quota

	ListenAddress string        // of the status listener; "" = none
	ListenToken   secret.String // asked for by the API on an address that is not loopback
	AdvertiseURL  string        // where instances reach the listener; "" = they don't
	LogLevel      string        // debug, info, warn or error; "" = info
	LogFormat     string        // text or json; "" = text
	RelayPath     string        // the paas-relay binary; "" = beside this program
	RelayImage    string        // an image that holds it instead

	Runners  []Runner
	Warnings []string // file:line: text; nothing that keeps the service from starting

	at positions
}

// Place is "file:line: key" of a global key, for what others find wrong with its value.
func (cfg *Config) Place(key string) string {
	return fmt.Sprintf("%s:%d: %s", cfg.Path, cfg.at.at(key), key)
}

// Quota says how the weighted quota is computed: the weight of so many jobs of a flavor.
type Quota struct {
	ReferenceRunner, ReferenceFlavor string
	ReferenceJobs                    int
}

// Runner is one [[runners]] section.
type Runner struct {
	Line     int // of its header
	Name     string
	URL      string // as written
	Token    secret.String
	Owner    fleet.Owner // computed from token and URL, or paas_owner
	Executor string      // ExecutorClever or ExecutorDocker

	Coordinator        string // the URL in its normal form
	Limit              int    // of this runner's open jobs; 0 = none
	RequestConcurrency int
	TLSCAFile          string
	TLSCertFile        string
	TLSKeyFile         string

	StrictAdmission bool   // ask only while the largest flavor would fit
	SubRunner       string // ModeRelay or ModeExec
	MainImage       string
	RelaySubnet     string // of the network that the relay makes; "" = Docker chooses
	// DependencyProxy: Docker Hub images of jobs come through their group's Dependency
	// Proxy, when it has one.
	DependencyProxy bool
	TraceWatch      TraceWatch
	Clever          Clever
	Docker          Docker

	// Forward is the section without this program's keys and without the token, for the
	// sub-runner: types and spelling as in the file. It may hold the operator's secrets.
	Forward map[string]any
}

// TraceWatch limits how long a launched job may stay without output.
type TraceWatch struct {
	Token    secret.String // optional: the job's own token is enough
	Timeout  time.Duration
	PollStep time.Duration
}

// Clever holds the keys of the executor clever-docker.
type Clever struct {
	APIURL, Zone, DefaultFlavor, MaxFlavor       string
	AllowedFlavors                               []string // as far as MaxFlavor allows them too; none = all
	FlavorContext, FlavorNamePrefix, VariantUUID string
	AuthUser, OrgaID                             string
	Token                                        secret.String // empty when the runner has an OAuth user of its own
	Auth                                         Auth
	RepoTimeout, RepoWaitStep                    time.Duration
	ExtraEnv                                     map[string]string

	MultiTenant                         bool
	NamespaceToken                      secret.String
	OrgaIDAttribute, OrgaTokenAttribute string
}

// Auth is how Clever Cloud is shown a credential.
type Auth struct {
	Scheme                  string // AuthToken, AuthBearer or AuthOAuth1
	ConsumerKey             string
	ConsumerSecret          secret.String
	OAuthToken, OAuthSecret secret.String // of a user for all tenants; empty = each tenant's token holds its own
	OAuthSignature          string        // plaintext or hmac-sha512
	GitUser                 string        // for deployment repositories, when they need another credential
	GitPassword             secret.String
}

// OwnUser tells whether the runner acts as one user for all tenants, so that they need no
// token of their own.
func (a Auth) OwnUser() bool { return a.Scheme == AuthOAuth1 && !a.OAuthToken.Empty() }
