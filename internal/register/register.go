// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
)

// Run registers the runner and adds it to the file. When it fails, neither the file nor
// the coordinator is changed, or it was said what could not be undone.
func (r *Registrar) Run(ctx context.Context) error {
	if err := r.settle(); err != nil {
		return err
	}
	if r.file == "" && !is(r.cfg.NonInteractive) {
		return usage("name the configuration file: %s CONFIG", r.cfg.Program)
	}
	draft := &config.Draft{}
	if r.file != "" {
		var err error
		if draft, err = config.ReadDraft(r.file); err != nil {
			return err
		}
	}
	if err := r.readTemplate(); err != nil {
		return err
	}
	a, err := r.answers(ctx, draft)
	if err != nil {
		return err
	}
	return r.add(ctx, a, draft)
}

// add does what has to be done while nobody else adds to the same file.
func (r *Registrar) add(ctx context.Context, a *answers, before *config.Draft) error {
	client, err := r.client(a.url)
	if err != nil {
		return err
	}
	if _, err := r.compose(before, a, r.standIn()); err != nil {
		return err // before anything is waited for
	}
	patience := time.AfterFunc(time.Second, func() { r.Console.Say("waiting for another registration in the same folder ...") })
	release, err := before.Lock(ctx)
	patience.Stop()
	if err != nil {
		return err
	}
	defer release()
	draft, place, err := r.reserve(a, before)
	if err != nil {
		return err
	}
	defer place.Discard()
	if ctx.Err() != nil {
		return fmt.Errorf("%w; nothing is changed", interrupted{})
	}
	admitted, err := r.admit(ctx, client, a)
	if err != nil {
		return err
	}
	written, err := r.write(ctx, place, draft, a, admitted.token)
	if err != nil {
		return r.undo(ctx, client, a, admitted, err)
	}
	return r.tell(a, draft, written, admitted)
}

// reserve reads the file as it is now, and takes the room for what it is to become.
func (r *Registrar) reserve(a *answers, before *config.Draft) (*config.Draft, *config.Replacement, error) {
	draft, err := config.ReadDraft(r.file)
	if err != nil {
		return nil, nil, err
	}
	if was, is := before.Needs(), draft.Needs(); is.StateFile && !was.StateFile || is.Concurrent && !was.Concurrent || is.Quota && !was.Quota {
		return nil, nil, fmt.Errorf("somebody took parts of %s away meanwhile; nothing is changed", r.file)
	}
	trial, err := r.compose(draft, a, r.standIn())
	if err != nil {
		return nil, nil, err
	}
	place, err := draft.Reserve(trial.Text)
	return draft, place, err
}

// write puts the section with the real token into the file.
func (r *Registrar) write(ctx context.Context, place *config.Replacement, draft *config.Draft, a *answers, token secret.String) (*config.Composed, error) {
	if ctx.Err() != nil {
		return nil, interrupted{} // while the coordinator was asked
	}
	out, err := r.compose(draft, a, token)
	if err != nil {
		return nil, err
	}
	return out, place.Commit(out.Text)
}

func (r *Registrar) compose(draft *config.Draft, a *answers, token secret.String) (*config.Composed, error) {
	section, err := r.section(a, token)
	if err != nil {
		return nil, err
	}
	out, err := draft.Compose(config.Addition{Global: a.global, Section: section})
	if bad, ok := errors.AsType[*config.Error](err); ok && draft.New() {
		// The file is not there yet: its lines say nothing to anybody.
		for i, p := range bad.Problems {
			if p.Line > 0 {
				bad.Problems[i].Path, bad.Problems[i].Line = "the new file", 0
			}
		}
	}
	return out, err
}

// standIn is the token of a trial: the one that was given, which may stand in the file
// already, or one that is as long as any real one, so that the room on the disk is enough.
func (r *Registrar) standIn() secret.String {
	if !r.cfg.Token.Empty() {
		return r.cfg.Token
	}
	return secret.New("register-trial-" + strings.Repeat("x", 64))
}
