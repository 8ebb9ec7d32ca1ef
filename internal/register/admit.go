// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// admission is how a runner came to be known at the coordinator.
type admission struct {
	token   secret.String
	id      int64 // 0: not said
	expires time.Time
	made    bool // by us, just now
}

// client makes the client of a coordinator under a name of its own: what a coordinator
// keeps of this visit must not be taken for the service, or for another one.
func (r *Registrar) client(url string) (*coordinator.Client, error) {
	raw := make([]byte, 6)
	if _, err := io.ReadFull(r.Random, raw); err != nil {
		return nil, fmt.Errorf("make a system id: %w", err)
	}
	r.systemID = "r_" + hex.EncodeToString(raw)
	o := r.cfg.Options
	return coordinator.New(coordinator.Config{
		URL: url, Version: r.cfg.Version, SystemID: r.systemID, Transport: r.Transport,
		CAFile: o.TLSCAFile, CertFile: o.TLSCertFile, KeyFile: o.TLSKeyFile, CallTimeout: r.cfg.CallTimeout,
	})
}

// admit makes the runner known: its token is verified, or a new runner is made with a
// registration token.
func (r *Registrar) admit(ctx context.Context, c *coordinator.Client, a *answers) (admission, error) {
	r.Console.Say("asking %s ...", a.url)
	o := r.cfg.Options
	if o.Token.Empty() {
		return r.register(ctx, c, a, o.RegistrationToken, nil)
	}
	answer, err := c.Verify(ctx, o.Token, r.systemID)
	if err == nil {
		return r.verified(ctx, c, answer)
	}
	if !errors.Is(err, fleet.ErrUnauthorized) || strings.HasPrefix(o.Token.Reveal(), authentication) {
		return admission{}, r.explain(err, a.url, "--token")
	}
	r.Log.Debug("this is no runner's token, it is tried as a registration token", "err", err)
	return r.register(ctx, c, a, o.Token, err)
}

// verified takes a runner that was there before.
func (r *Registrar) verified(ctx context.Context, c *coordinator.Client, answer coordinator.VerifyAnswer) (admission, error) {
	token := r.cfg.Token
	// The question has left a record of a machine that will never come back.
	if err := c.ForgetManager(ctx, token, r.systemID); err != nil {
		r.Log.Debug("the coordinator keeps a record of this visit", "err", err)
	}
	if problems := r.cfg.reserved("token of a runner that is there already"); len(problems) > 0 {
		return admission{}, &UsageError{problems}
	}
	return admission{token: token, id: answer.ID, expires: answer.ExpiresAt}, nil
}

// register makes a new runner. Once the call is on its way it is waited for, whatever
// the context says: only its answer tells what there is to undo.
func (r *Registrar) register(ctx context.Context, c *coordinator.Client, a *answers, token secret.String, before error) (admission, error) {
	o := r.cfg.Options
	in := coordinator.Registration{
		Token: token, Description: a.name, MaintenanceNote: o.MaintenanceNote, Paused: is(o.Paused),
		RunUntagged: o.RunUntagged, Locked: o.Locked, AccessLevel: o.AccessLevel,
	}
	for tag := range strings.SplitSeq(o.TagList, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			in.Tags = append(in.Tags, tag)
		}
	}
	untagged, locked := len(in.Tags) == 0, true // what is not said is as with gitlab-runner
	if in.RunUntagged == nil {
		in.RunUntagged = &untagged
	}
	if in.Locked == nil {
		in.Locked = &locked
	}
	if o.MaximumTimeout != "" {
		in.MaximumTimeout, _ = strconv.Atoi(o.MaximumTimeout) // was checked
	}
	stop := context.AfterFunc(ctx, func() { r.Console.Say("waiting for the coordinator's answer, so that nothing is left half done ...") })
	defer stop()
	made, err := c.Register(context.WithoutCancel(ctx), in)
	switch {
	case err == nil:
		return admission{token: made.Token, id: made.ID, expires: made.ExpiresAt, made: true}, nil
	case before != nil && errors.Is(err, fleet.ErrUnauthorized):
		return admission{}, fmt.Errorf("%s knows the token neither as a runner's authentication token nor as a registration token (%w)", a.url, err)
	case fleet.ClassOf(err) == fleet.Unknown:
		return admission{}, fmt.Errorf("%w; a runner may have been made all the same: look for %q in the coordinator's list of runners, and delete it before you try again",
			r.explain(err, a.url, "the registration token"), a.name)
	}
	return admission{}, r.explain(err, a.url, "the registration token")
}
