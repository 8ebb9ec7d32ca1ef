// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/fleet"
)

// tellEvery is how often a pull says how far it is.
const tellEvery = 10 * time.Second

// provide sees that the sub-runner's image is on the engine, by the pull policy. What
// was pulled before a failure stays there, so a repetition goes on from it.
func (p *Provisioner) provide(ctx context.Context, tell func(string)) error {
	if tell == nil {
		tell = func(string) {}
	}
	if p.cfg.PullPolicy == PullNever {
		return nil // creating the container tells when it is missing
	}
	if p.cfg.PullPolicy == PullMissing {
		there, err := p.hasImage(ctx)
		if there || err != nil {
			return err
		}
	}
	auth, err := p.registryAuth()
	if err != nil {
		return err
	}
	what := "pull image " + p.cfg.Image
	begun := time.Now()
	tell("pulling image " + p.cfg.Image)
	err = p.callFor(ctx, p.cfg.PullTimeout, what, func(ctx context.Context) error {
		answer, err := p.docker.ImagePull(ctx, p.cfg.Image, client.ImagePullOptions{RegistryAuth: auth})
		if err != nil {
			return err
		}
		defer answer.Close()
		return follow(ctx, answer, tell)
	})
	if err != nil {
		return p.pullFailed(err)
	}
	tell(fmt.Sprintf("image pulled in %s", time.Since(begun).Round(time.Second/10)))
	return nil
}

func (p *Provisioner) hasImage(ctx context.Context) (bool, error) {
	err := p.call(ctx, "look for image "+p.cfg.Image, func(ctx context.Context) error {
		_, err := p.docker.ImageInspect(ctx, p.cfg.Image)
		return err
	})
	if errors.Is(err, fleet.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// follow reads a pull to its end and tells how far it is.
func follow(ctx context.Context, answer client.ImagePullResponse, tell func(string)) error {
	layers := map[string]map[string]jsonstream.Progress{"Downloading": {}, "Extracting": {}}
	told, last := time.Now(), ""
	for m, err := range answer.JSONMessages(ctx) {
		if err == nil && m.Error != nil {
			err = m.Error
		}
		if err != nil {
			return err
		}
		if m.Progress == nil || m.Progress.Total <= 0 || layers[m.Status] == nil {
			continue
		}
		layers[m.Status][m.ID] = *m.Progress
		if time.Since(told) < tellEvery {
			continue
		}
		if line := soFar(layers["Downloading"], layers["Extracting"]); line != last {
			tell(line)
			told, last = time.Now(), line
		}
	}
	return nil
}

// soFar sums over the layers that have begun.
func soFar(pulled, unpacked map[string]jsonstream.Progress) string {
	sum := func(layers map[string]jsonstream.Progress) (got, all int64) {
		for _, l := range layers {
			got, all = got+l.Current, all+l.Total
		}
		return got / 1e6, all / 1e6
	}
	got, all := sum(pulled)
	line := fmt.Sprintf("pulling image: %d of %d MB", got, all)
	if len(unpacked) > 0 {
		got, _ := sum(unpacked)
		line += fmt.Sprintf(", %d MB unpacked", got)
	}
	return line
}

// pullFailed tells what trying again can't help: nothing was made in either case.
func (p *Provisioner) pullFailed(err error) error {
	if untrusted(err) != "" {
		return err // the engine was not even asked, and it is not the image's fault
	}
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"manifest unknown", "not found", "denied", "unauthorized", "authentication required", "no basic auth credentials", "invalid reference"} {
		if strings.Contains(text, sign) {
			user := fmt.Sprintf("the image %s can't be pulled: %s", p.cfg.Image, cause(err))
			return &fleet.CallError{Class: fleet.Permanent, UserText: user, Err: err}
		}
	}
	user := fmt.Sprintf("the image %s can't be pulled for now: %s", p.cfg.Image, cmp.Or(fleet.UserTextOf(err), cause(err)))
	return &fleet.CallError{Class: fleet.Transient, UserText: user, Err: err}
}

// cause is what the engine said, without what was put before it.
func cause(err error) string {
	text := err.Error()
	if _, said, found := strings.Cut(text, "Error response from daemon: "); found {
		text = said
	}
	return sentence(errors.New(text))
}
