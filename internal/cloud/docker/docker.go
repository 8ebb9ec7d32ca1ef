// SPDX-License-Identifier: Apache-2.0

// Package docker makes instances on a Docker Engine: one container per job, in which the
// sub-runner runs with the engine's socket mounted. It keeps no record of them and
// decides nothing about jobs. The one idea: an instance is that container and all that
// it starts. Everything carries one label with our key, so everything is found again,
// also when the container that started it is gone.
package docker

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
)

// What to do about the sub-runner's image before an instance is made.
const (
	PullMissing = "if-not-present"
	PullAlways  = "always"
	PullNever   = "never"
)

// Config holds the settings of one runner's engine. Zero values mean what is said in
// the comments.
type Config struct {
	Host          string   // DOCKER_HOST, else unix:///var/run/docker.sock
	CertPath      string   // folder with ca.pem, cert.pem and key.pem; DOCKER_CERT_PATH with DOCKER_TLS_VERIFY
	Image         string   // that holds the sub-runner
	SubRunner     string   // hostfile.ModeRelay; or hostfile.ModeExecFetchedJob
	PullPolicy    string   // PullMissing; or PullAlways, PullNever
	Flavors       []Flavor // M of weight 1, without limits
	DefaultFlavor string   // M: for a Spec without a flavor
	// ShortToken is how gitlab-runner names the runner on what it makes; "" = not known.
	ShortToken string

	CallTimeout time.Duration // 30 s: for one call
	PullTimeout time.Duration // 30 min: for one image
}

// Flavor is a size that the operator has defined.
type Flavor struct {
	Name         string
	Weight       fleet.Weight
	CPUs         float64 // of each container; 0 = no limit
	Memory       int64   // bytes, of each container; 0 = no limit
	CgroupParent string  // control group for all containers of an instance; "" = the engine's own
}

// Deps are what a Provisioner works with.
type Deps struct {
	Transport http.RoundTripper   // nil = one to the configured host
	Getenv    func(string) string // nil = os.Getenv
}

// Provisioner implements cloud.Provisioner.
type Provisioner struct {
	cfg    Config
	host   string
	socket string // on the engine's computer
	docker *client.Client
	getenv func(string) string
}

var _ cloud.Provisioner = (*Provisioner)(nil)

// New makes a provisioner. It makes no call.
func New(cfg Config, deps Deps) (*Provisioner, error) {
	cfg = withDefaults(cfg)
	getenv := deps.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	if cfg.Image == "" {
		return nil, errors.New("the image of the sub-runner is not said")
	}
	p := &Provisioner{cfg: cfg, getenv: getenv, host: cmp.Or(cfg.Host, getenv("DOCKER_HOST"), client.DefaultDockerHost)}
	if err := p.connect(deps.Transport); err != nil {
		return nil, fmt.Errorf("host %q: %w", withoutUser(p.host), err)
	}
	return p, nil
}

// withoutUser leaves out what may be a password.
func withoutUser(host string) string {
	at := strings.LastIndex(host, "@")
	if at < 0 {
		return host
	}
	scheme, _, there := strings.Cut(host[:at], "://")
	if !there {
		return "…" + host[at:]
	}
	return scheme + "://…" + host[at:]
}

func withDefaults(cfg Config) Config {
	cfg.SubRunner = cmp.Or(cfg.SubRunner, hostfile.ModeRelay)
	cfg.PullPolicy = cmp.Or(cfg.PullPolicy, PullMissing)
	if len(cfg.Flavors) == 0 {
		cfg.Flavors = []Flavor{{Name: "M", Weight: fleet.Unit}}
	}
	cfg.DefaultFlavor = cmp.Or(cfg.DefaultFlavor, "M")
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, 30*time.Second)
	cfg.PullTimeout = cmp.Or(cfg.PullTimeout, 30*time.Minute)
	return cfg
}

// Describe implements cloud.Provisioner. An engine does a call or it does not: what it
// was asked to make is there within seconds.
func (p *Provisioner) Describe() cloud.Description {
	return cloud.Description{
		Name:        "docker",
		Zone:        p.host,
		Apart:       true,
		Settle:      5 * time.Second,
		BillingStep: time.Second,
		Patience:    p.cfg.PullTimeout + 5*time.Minute,
		LostSignal:  "the sub-runner's container has exited or is gone while its job has no final state",
	}
}
