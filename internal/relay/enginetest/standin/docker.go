// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const socket = "/var/run/docker.sock"

// docker calls the engine's API.
type docker struct{ http *http.Client }

func newDocker() docker {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return docker{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// open makes a call whose answer is read as it comes.
func (d docker) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the Docker daemon at unix://%s. Is the docker daemon running? %w", socket, err)
	}
	if answer.StatusCode >= 400 {
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return nil, fmt.Errorf("error response from daemon: %s (%s %s: %d)", strings.TrimSpace(string(text)), method, path, answer.StatusCode)
	}
	return answer.Body, nil
}

func (d docker) call(ctx context.Context, method, path string, in, out any) error {
	body, err := d.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

type made struct {
	ID string `json:"Id"`
}

// start makes a container and starts it.
func (d docker) start(ctx context.Context, name string, config map[string]any) (string, error) {
	var c made
	if err := d.call(ctx, http.MethodPost, "/containers/create?name="+url.QueryEscape(name), config, &c); err != nil {
		return "", err
	}
	return c.ID, d.call(ctx, http.MethodPost, "/containers/"+c.ID+"/start", nil, nil)
}

// follow passes on what a container writes until it ends, and gives its exit code.
func (d docker) follow(ctx context.Context, id string, to io.Writer) (int, error) {
	body, err := d.open(ctx, http.MethodGet, "/containers/"+id+"/logs?follow=true&stdout=true&stderr=true", nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(to, body)
	body.Close()
	if err != nil && ctx.Err() != nil {
		return 0, err
	}
	var end struct{ StatusCode int }
	err = d.call(ctx, http.MethodPost, "/containers/"+id+"/wait", nil, &end)
	return end.StatusCode, err
}

func (d docker) removeContainer(ctx context.Context, id string) error {
	return d.call(ctx, http.MethodDelete, "/containers/"+id+"?force=true&v=true", nil, nil)
}

// removeNetwork is the cleanup of a network that gitlab-runner made itself: every
// container on it goes, by force.
func (d docker) removeNetwork(ctx context.Context, id string) error {
	var n struct{ Containers map[string]any }
	if err := d.call(ctx, http.MethodGet, "/networks/"+id, nil, &n); err != nil {
		return err
	}
	for container := range n.Containers {
		if err := d.removeContainer(ctx, container); err != nil {
			return err
		}
	}
	return d.call(ctx, http.MethodDelete, "/networks/"+id, nil, nil)
}
