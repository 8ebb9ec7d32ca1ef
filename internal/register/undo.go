// SPDX-License-Identifier: Apache-2.0

package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

const (
	undoTries = 3
	undoPause = time.Second
)

// undo takes a registration back whose runner could not be written, and says how that
// went. A runner that was there before us stays: it belongs to others too.
func (r *Registrar) undo(ctx context.Context, c *coordinator.Client, a *answers, what admission, failure error) error {
	if !what.made {
		return fmt.Errorf("%w; nothing is changed", failure)
	}
	if is(r.cfg.LeaveRunner) {
		r.lastWords(a, what)
		return fmt.Errorf("%w; the runner stays registered, as --leave-runner asks", failure)
	}
	r.Console.Say("undoing the registration ...")
	err := unregister(context.WithoutCancel(ctx), c, what)
	if err != nil {
		r.lastWords(a, what)
		return fmt.Errorf("%w; and the registration could not be undone: %v", failure, err) //nolint:errorlint // the first failure says which one it is
	}
	return fmt.Errorf("%w; the registration is undone", failure)
}

// unregister deletes the runner. A token that is not known means that it is gone.
func unregister(ctx context.Context, c *coordinator.Client, what admission) error {
	tick := time.NewTicker(undoPause)
	defer tick.Stop()
	for try := 1; ; try++ {
		err := c.Unregister(ctx, what.token)
		if err == nil || errors.Is(err, fleet.ErrUnauthorized) {
			return nil
		}
		if fleet.ClassOf(err) == fleet.Permanent || try == undoTries {
			return err
		}
		<-tick.C
	}
}

// lastWords shows the token of a runner that is registered and stands in no file. Nobody
// else can tell it any more.
func (r *Registrar) lastWords(a *answers, what admission) {
	r.Console.Say("The runner %q is registered at %s%s. Its token, which is shown this once: %s", a.name, a.url, number(what.id), what.token.Reveal())
}

// number names a runner at its coordinator.
func number(id int64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf(" (number %d)", id)
}
