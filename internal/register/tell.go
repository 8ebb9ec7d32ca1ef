// SPDX-License-Identifier: Apache-2.0

package register

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"heptapod-paas-runner/internal/config"
)

// tell says what was done, and what is left to do.
func (r *Registrar) tell(a *answers, draft *config.Draft, written *config.Composed, what admission) error {
	for _, warning := range written.Warnings {
		r.Console.Say("warning: %s", warning)
	}
	did := "is registered"
	if !what.made {
		did = "is known"
	}
	_, err := fmt.Fprintf(r.Out, "The runner %q %s at %s%s, and stands in %s from line %d on.\n", a.name, did, a.url, number(what.id), r.file, written.Line)
	if what.made && is(r.cfg.Paused) {
		r.Console.Say("It is paused: resume it at the coordinator when the service is ready.")
	}
	if !what.expires.IsZero() {
		r.Console.Say("Its token ends at %s, and this program does not rotate tokens: register again before, or let it never end.", what.expires.UTC().Format(time.RFC3339))
	}
	if draft.New() {
		r.firstSteps(a)
		return err
	}
	if info, err := os.Stat(r.file); err == nil && info.Mode().Perm()&0o004 != 0 {
		r.Console.Say("warning: %s is readable by others (mode %04o), and holds the runner's token now: chmod 600 it", r.file, info.Mode().Perm())
	}
	if needs := draft.Needs(); !needs.Concurrent && r.cfg.MaxConcurrency != "" || !needs.StateFile && r.cfg.StateFilePath != "" {
		r.Console.Say("What stands at the top of the file stays: --max-concurrency and --state-file-path are for a new file.")
	}
	r.Console.Say("A service that runs takes it up at SIGHUP: systemctl kill --signal=HUP heptapod-paas-runner, or kill -HUP its process.")
	return err
}

// firstSteps says what a new file needs to be of use: its readers, and the folder of the
// state.
func (r *Registrar) firstSteps(a *answers) {
	if uid := os.Getuid(); uid == 0 {
		r.Console.Say("It belongs to root and nobody else can read it: give it to the service's user, such as: chown heptapod-runner %s", r.file)
	} else {
		r.Console.Say("Only user %s can read it: run the service as this user, or give it the file.", userName(uid))
	}
	state := a.global.StateFile
	if !filepath.IsAbs(state) {
		if absolute, err := filepath.Abs(filepath.Join(filepath.Dir(r.file), state)); err == nil {
			state = absolute
			r.Console.Say("The state file is %s: a relative path starts at the folder of the configuration.", state)
		}
	}
	r.stateFolder(filepath.Dir(state))
	r.Console.Say("Next: heptapod-paas-runner check %s, then start the service with it.", r.file)
}

// stateFolder says what keeps the service from writing its state.
func (r *Registrar) stateFolder(dir string) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		r.Console.Say("The folder of the state file, %s, is not there: make it, and writable for the service's user (StateDirectory= of systemd does both). Until then check refuses the file.", dir)
	case !info.IsDir():
		r.Console.Say("%s is no folder: no state file can be in it.", dir)
	default:
		stat, ok := info.Sys().(*syscall.Stat_t)
		if ok && int(stat.Uid) != os.Getuid() || os.Getuid() == 0 {
			r.Console.Say("The folder of the state file, %s, must be writable for the service's user; it belongs to %s, mode %04o.", dir, userName(int(stat.Uid)), info.Mode().Perm())
		}
	}
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
