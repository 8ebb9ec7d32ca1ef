// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/gitpush"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/store"
)

// Clients makes the outside clients of the runners.
type Clients struct {
	Version   string
	SystemID  string            // from SystemID
	Transport http.RoundTripper // nil = each client's own
	Packs     *gitpush.Cache    // the relay is compressed once for all runners; nil = for each
	Jitter    func() float64    // in [0, 1), for pauses between repeated calls to a cloud
}

// Coordinator makes a runner's coordinator client.
func (c Clients) Coordinator(rc config.Runner) (*coordinator.Client, error) {
	return coordinator.New(coordinator.Config{
		URL: rc.URL, Version: c.Version, SystemID: c.SystemID, Transport: c.Transport,
		CAFile: rc.TLSCAFile, CertFile: rc.TLSCertFile, KeyFile: rc.TLSKeyFile,
	})
}

// Provisioner makes a runner's provisioner.
func (c Clients) Provisioner(rc config.Runner) (cloud.Provisioner, error) {
	p, err := c.bare(rc)
	if err != nil {
		return nil, err
	}
	return cloud.NewRetry(p, c.Jitter, cloud.RetryConfig{}), nil
}

// bare makes a provisioner without retries.
func (c Clients) bare(rc config.Runner) (cloud.Provisioner, error) {
	switch rc.Executor {
	case config.ExecutorClever:
		return c.clever(rc.Clever)
	case config.ExecutorDocker:
		return engine(rc)
	}
	return nil, fmt.Errorf("executor %q is not available in this release", rc.Executor)
}

func (c Clients) clever(cc config.Clever) (cloud.Provisioner, error) {
	return clever.New(clever.Config{
		APIURL: cc.APIURL, Zone: cc.Zone, FlavorContext: cc.FlavorContext, FlavorNamePrefix: cc.FlavorNamePrefix,
		VariantUUID: cc.VariantUUID, AuthUser: cc.AuthUser, DefaultFlavor: cc.DefaultFlavor, ExtraEnv: cc.ExtraEnv,
		RepoTimeout: cc.RepoTimeout, RepoWaitStep: cc.RepoWaitStep,
		Auth: cc.Auth.Scheme, ConsumerKey: cc.Auth.ConsumerKey, ConsumerSecret: cc.Auth.ConsumerSecret,
		OAuthToken: cc.Auth.OAuthToken, OAuthSecret: cc.Auth.OAuthSecret, OAuthSignature: cc.Auth.OAuthSignature,
		GitUser: cc.Auth.GitUser, GitPassword: cc.Auth.GitPassword,
	}, clever.Deps{Transport: c.Transport, Packs: c.Packs})
}

// engine makes the provisioner of a Docker Engine, which is not reached over the
// transport of the others.
func engine(rc config.Runner) (cloud.Provisioner, error) {
	cfg := docker.Config{
		Host: rc.Docker.Host, CertPath: rc.Docker.CertPath, Image: rc.MainImage, SubRunner: rc.SubRunner,
		PullPolicy: rc.Docker.PullPolicy, DefaultFlavor: rc.Docker.DefaultFlavor, ShortToken: hostfile.ShortToken(rc.Token),
	}
	for _, f := range rc.Docker.Flavors {
		cfg.Flavors = append(cfg.Flavors, docker.Flavor(f))
	}
	return docker.New(cfg, docker.Deps{})
}

const systemIDKey = "system_id"

// RecordedSystemID looks up the name that SystemID gave, without opening the ledger; ""
// when it never did.
func RecordedSystemID(ctx context.Context, ledger string) (string, error) {
	return store.Peek(ctx, ledger, systemIDKey)
}

// SystemID gives this manager's persistent name towards coordinators, in the form of
// gitlab-runner's: made once, kept in the ledger.
func SystemID(ctx context.Context, ledger Ledger, random io.Reader) (string, error) {
	snap, err := ledger.Load(ctx)
	if err != nil {
		return "", fmt.Errorf("read the ledger: %w", err)
	}
	if id := snap.Meta[systemIDKey]; id != "" {
		return id, nil
	}
	raw := make([]byte, 6)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("make a system id: %w", err)
	}
	id := "r_" + hex.EncodeToString(raw)
	err = ledger.Commit(ctx, store.Change{Name: "system id", Meta: map[string]string{systemIDKey: id}})
	if err != nil {
		return "", fmt.Errorf("record the system id: %w", err)
	}
	return id, nil
}
