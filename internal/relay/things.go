// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// container is what the relay reads of one.
type container struct {
	ID    string `json:"Id"`
	State struct {
		Running bool `json:"Running"`
	} `json:"State"`
	NetworkSettings networksOf `json:"NetworkSettings"`
}

// networksOf are the networks that a container is on, by name.
type networksOf struct {
	Networks map[string]struct {
		NetworkID string `json:"NetworkID"`
		IPAddress string `json:"IPAddress"`
	} `json:"Networks"`
}

func (e *engine) container(ctx context.Context, id string) (container, error) {
	var c container
	_, err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(id)+"/json", nil, &c)
	return c, err
}

// listedContainer is a container as the list shows it, running or not.
type listedContainer struct {
	ID         string `json:"Id"`
	HostConfig struct {
		NetworkMode string `json:"NetworkMode"`
	} `json:"HostConfig"`
	NetworkSettings networksOf `json:"NetworkSettings"`
	Mounts          []struct {
		Type string `json:"Type"`
		Name string `json:"Name"`
	} `json:"Mounts"`
}

// isOn tells whether a container is on a network, or was when it ran.
func (c listedContainer) isOn(n dockerNetwork) bool {
	if c.HostConfig.NetworkMode == n.Name || c.HostConfig.NetworkMode == n.ID {
		return true
	}
	for _, on := range c.NetworkSettings.Networks {
		if on.NetworkID == n.ID {
			return true
		}
	}
	return false
}

// containers lists those that carry a label, also those that have ended.
func (e *engine) containers(ctx context.Context, label string) ([]listedContainer, error) {
	filter, err := labelFilter(label)
	if err != nil {
		return nil, err
	}
	var out []listedContainer
	_, err = e.call(ctx, http.MethodGet, "/containers/json?all=true&filters="+filter, nil, &out)
	return out, err
}

func (e *engine) removeContainer(ctx context.Context, id string) error {
	return e.remove(ctx, "/containers/"+url.PathEscape(id)+"?force=true&v=true")
}

// dockerNetwork is what the relay reads of one.
type dockerNetwork struct {
	ID         string            `json:"Id"`
	Name       string            `json:"Name"`
	Labels     map[string]string `json:"Labels"`
	Options    map[string]string `json:"Options"`
	Containers map[string]any    `json:"Containers"`
}

func (e *engine) network(ctx context.Context, name string) (dockerNetwork, error) {
	var n dockerNetwork
	_, err := e.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(name), nil, &n)
	return n, err
}

// networks lists those that carry a label.
func (e *engine) networks(ctx context.Context, label string) ([]dockerNetwork, error) {
	filter, err := labelFilter(label)
	if err != nil {
		return nil, err
	}
	var out []dockerNetwork
	_, err = e.call(ctx, http.MethodGet, "/networks?filters="+filter, nil, &out)
	return out, err
}

func (e *engine) removeNetwork(ctx context.Context, id string) error {
	return e.remove(ctx, "/networks/"+url.PathEscape(id))
}

// disconnect takes a container off a network; nil when either is gone.
func (e *engine) disconnect(ctx context.Context, network, container string) error {
	path := "/networks/" + url.PathEscape(network) + "/disconnect"
	_, err := e.call(ctx, http.MethodPost, path, map[string]any{"Container": container, "Force": true}, nil)
	return unlessGone(err)
}

// volume is what the relay reads of one.
type volume struct {
	Labels map[string]string `json:"Labels"`
}

func (e *engine) volume(ctx context.Context, name string) (volume, error) {
	var v volume
	_, err := e.call(ctx, http.MethodGet, "/volumes/"+url.PathEscape(name), nil, &v)
	return v, err
}

func (e *engine) removeVolume(ctx context.Context, name string) error {
	return e.remove(ctx, "/volumes/"+url.PathEscape(name))
}

// remove deletes a thing; nil when it is gone already.
func (e *engine) remove(ctx context.Context, path string) error {
	_, err := e.call(ctx, http.MethodDelete, path, nil, nil)
	return unlessGone(err)
}

func unlessGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func labelFilter(label string) (string, error) {
	filter, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return "", fmt.Errorf("encode a filter: %w", err)
	}
	return url.QueryEscape(string(filter)), nil
}
