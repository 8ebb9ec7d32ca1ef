// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"
)

const (
	// ownLabel marks a job's network; its value is the id of the relay's container.
	ownLabel = "heptapod.paas-relay.container"
	keyLabel = "heptapod.paas-relay.key"
	// managedLabel is what gitlab-runner puts on the containers it makes.
	managedLabel = "com.gitlab.gitlab-runner.managed"
	mtuOption    = "com.docker.network.driver.mtu"
	// defaultBridge is the network that most containers start on.
	defaultBridge = "bridge"
)

// jobNetwork is a bridge of the job's own, which the relay has joined. The relay
// never joins a network that gitlab-runner made: its cleanup removes every container
// that it finds on one.
type jobNetwork struct {
	engine *engine
	log    *slog.Logger
	self   string // our container's id
	id     string
	name   string
	ip     string // our address on it
}

// joinNetwork makes the job's network and joins it.
func joinNetwork(ctx context.Context, d Docker, key, subnet string, log *slog.Logger) (*jobNetwork, error) {
	n := &jobNetwork{engine: newEngine(d), log: log}
	if err := n.engine.open(ctx); err != nil {
		return nil, err
	}
	self, err := ownContainer(cmp.Or(d.MountInfo, ownMounts))
	if err != nil {
		return nil, err
	}
	n.self = self
	n.sweep(ctx)
	me, err := n.engine.container(ctx, self)
	if err != nil {
		return nil, fmt.Errorf("look at our own container: %w", err)
	}
	if _, ok := me.NetworkSettings.Networks["host"]; ok {
		return nil, errors.New("this container shares the host's network, so it cannot join one of the job's own: start it on a bridge")
	}
	n.name = networkName(me, key)
	if err := n.create(ctx, key, subnet); err != nil {
		return nil, err
	}
	if err := n.connect(ctx); err != nil {
		n.leave(ctx)
		return nil, err
	}
	return n, nil
}

// networkName sorts after every network that we are on and after bridge: Docker
// moves a container's default route to the network whose name comes first.
func networkName(me container, key string) string {
	name := "zz-paas-relay-" + key
	for other := range me.NetworkSettings.Networks {
		for name <= other {
			name = "z" + name
			if len(name) > len(other)+len(key)+32 {
				break // the other one begins with something after z
			}
		}
	}
	return name
}

func (n *jobNetwork) create(ctx context.Context, key, subnet string) error {
	wish := map[string]any{
		"Name": n.name, "Driver": "bridge", "CheckDuplicate": true,
		"Labels": map[string]string{ownLabel: n.self, keyLabel: key},
	}
	bridge, err := n.engine.network(ctx, defaultBridge)
	if err != nil && !errors.Is(err, errGone) {
		return fmt.Errorf("look at the default bridge: %w", err)
	}
	if mtu := bridge.Options[mtuOption]; mtu != "" {
		wish["Options"] = map[string]string{mtuOption: mtu}
	}
	if subnet != "" {
		wish["IPAM"] = map[string]any{"Driver": "default", "Config": []map[string]string{{"Subnet": subnet}}}
	}
	var made struct {
		ID string `json:"Id"`
	}
	if _, err := n.engine.call(ctx, http.MethodPost, "/networks/create", wish, &made); err != nil {
		return fmt.Errorf("make the job's network: %w", err)
	}
	n.id = made.ID
	return nil
}

func (n *jobNetwork) connect(ctx context.Context) error {
	path := "/networks/" + url.PathEscape(n.id) + "/connect"
	if _, err := n.engine.call(ctx, http.MethodPost, path, map[string]any{"Container": n.self}, nil); err != nil {
		return fmt.Errorf("join the job's network: %w", err)
	}
	me, err := n.engine.container(ctx, n.self)
	if err != nil {
		return fmt.Errorf("look at our own container: %w", err)
	}
	n.ip = me.NetworkSettings.Networks[n.name].IPAddress
	if n.ip == "" {
		return fmt.Errorf("join the job's network: no address on %s", n.name)
	}
	return nil
}

// leave takes us off the network and deletes it. Containers of the job may take a
// moment to go.
func (n *jobNetwork) leave(ctx context.Context) {
	if n.id == "" {
		return
	}
	path := "/networks/" + url.PathEscape(n.id) + "/disconnect"
	wish := map[string]any{"Container": n.self, "Force": true}
	if _, err := n.engine.call(ctx, http.MethodPost, path, wish, nil); err != nil && !errors.Is(err, errGone) {
		n.log.Warn("leave the job's network", "err", err)
	}
	for try := range 5 {
		err := n.engine.removeNetwork(ctx, n.id)
		if err == nil {
			return
		}
		if try == 4 || !sleep(ctx, time.Second) {
			n.log.Warn("delete the job's network", "err", err)
			return
		}
	}
}

// sweep deletes what relays that were killed have left: networks whose relay does
// not run any more (or is ourselves, started again), and the job's containers on
// them. It never fails a job.
func (n *jobNetwork) sweep(ctx context.Context) {
	found, err := n.engine.networks(ctx, ownLabel)
	if err != nil {
		n.log.Warn("look for networks left behind", "err", err)
		return
	}
	for _, left := range found {
		if err := n.sweepOne(ctx, left); err != nil {
			n.log.Warn("delete a network left behind", "network", left.Name, "err", err)
		}
	}
}

func (n *jobNetwork) sweepOne(ctx context.Context, left dockerNetwork) error {
	owner := left.Labels[ownLabel]
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(owner) {
		return errors.New("its label names no container: not proven to be a relay's")
	}
	if owner != n.self {
		c, err := n.engine.container(ctx, owner)
		if err == nil && c.State.Running {
			return nil // its relay is at work
		}
		if err != nil && !errors.Is(err, errGone) {
			return err
		}
	}
	whole, err := n.engine.network(ctx, left.ID) // the list does not tell the containers
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	for id := range whole.Containers {
		c, err := n.engine.container(ctx, id)
		if err != nil || c.ID == n.self || c.Config.Labels[managedLabel] != "true" {
			continue
		}
		if err := n.engine.removeContainer(ctx, id); err != nil {
			return err
		}
	}
	wish := map[string]any{"Container": n.self, "Force": true}
	if _, ours := whole.Containers[n.self]; ours {
		if _, err := n.engine.call(ctx, http.MethodPost, "/networks/"+url.PathEscape(left.ID)+"/disconnect", wish, nil); err != nil {
			return err
		}
	}
	return n.engine.removeNetwork(ctx, left.ID)
}

// ownContainer finds our container's id in the mounts that Docker gives to each one.
// The hostname may have been set to something else by a platform.
func ownContainer(mountInfo string) (string, error) {
	text, err := os.ReadFile(mountInfo)
	if err != nil {
		return "", fmt.Errorf("find our own container: %w", err)
	}
	found := regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\b`).FindSubmatch(text)
	if found == nil {
		return "", errors.New("find our own container: this is not a container of Docker")
	}
	return string(found[1]), nil
}
