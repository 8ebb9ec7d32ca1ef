// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	// leaveTimeout is how long an engine that hangs may delay what is still to be told.
	leaveTimeout = time.Minute
	leaveTries   = 5
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
	me, err := n.engine.ownContainer(ctx, d)
	if err != nil {
		return nil, err
	}
	if _, ok := me.NetworkSettings.Networks["host"]; ok {
		return nil, errors.New("this container shares the host's network, so it cannot join one of the job's own: start it on a bridge")
	}
	n.self = me.ID
	n.sweep(ctx)
	n.name = networkName(me, key)
	if err := n.create(ctx, key, subnet); err != nil {
		n.leave(ctx) // it may have been made all the same
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

// leave takes us off the network and deletes it, also when what we were doing was
// called off. It tries for a while: containers may take a moment to go.
func (n *jobNetwork) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	for try := range leaveTries {
		err := n.takeDown(ctx)
		if err == nil {
			return
		}
		if try == leaveTries-1 || !sleep(ctx, time.Second) {
			n.log.Warn("delete the job's network", "network", n.name, "err", err)
			return
		}
	}
}

// takeDown deletes our network by its name, since the answer that told its id may have
// been lost; a sub-runner that was killed has left containers on it.
func (n *jobNetwork) takeDown(ctx context.Context) error {
	found, err := n.engine.network(ctx, n.name)
	if err != nil {
		return unlessGone(err)
	}
	if found.Labels[ownLabel] != n.self {
		return nil // somebody else's: ours was never made
	}
	if err := n.clear(ctx, found); err != nil {
		return err
	}
	if err := n.engine.disconnect(ctx, found.ID, n.self); err != nil {
		return err
	}
	return n.engine.removeNetwork(ctx, found.ID)
}
