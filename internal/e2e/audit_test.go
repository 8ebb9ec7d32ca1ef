// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/manager"
)

// verdict finds the audit's word on a key.
func (w *world) verdict(key string) manager.AuditEntry {
	found, err := w.life.manager.Audit()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range found.Entries {
		if e.Key == key {
			return e
		}
	}
	return manager.AuditEntry{}
}

func (w *world) wantVerdict(key, want string, explained bool) {
	w.t.Helper()
	if e := w.verdict(key); !strings.Contains(e.Verdict, want) || e.Explained != explained {
		w.t.Errorf("%s: %q, explained %v; want %q, %v", key, e.Verdict, e.Explained, want, explained)
	}
}

// The audit explains what runs, calls a look-alike what it is, and says when it looked.
func TestAudit(t *testing.T) {
	run(t, func(w *world) {
		owner := w.cfg.Runners[0].Owner
		if _, err := w.clever.AddForeign("orga_sim", owner.KeyPrefix()+"100001-copy"); err != nil {
			w.t.Fatal(err)
		}
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 200}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.wantVerdict(owner.Key(100001), "in use by job 100001", true)
		w.wantVerdict(owner.KeyPrefix()+"100001-copy", "looks like ours and is not", true)
		if found, err := w.life.manager.Audit(); err != nil || found.Unexplained != 0 || time.Since(found.ProvenAt) > 90*time.Second {
			w.t.Errorf("%+v, %v", found, err)
		}
	}, nil)
}

// An unrecorded instance that was never started is unexplained until it is gone; the fuse
// stops a massacre, survives a restart and is released by hand.
func TestFuseAndRelease(t *testing.T) {
	run(t, func(w *world) {
		owner := w.cfg.Runners[0].Owner
		for id := range int64(9) {
			if _, err := w.clever.AddForeign("orga_sim", owner.Key(500+id)); err != nil {
				w.t.Fatal(err)
			}
		}
		w.begin("")
		time.Sleep(10 * time.Minute)
		deleted := func() (n int) {
			for _, app := range w.clever.Applications() {
				if app.State == "deleted" {
					n++
				}
			}
			return n
		}
		if n := deleted(); n != 5 {
			w.t.Errorf("%d unrecorded instances were destroyed before the fuse blew, want 5", n)
		}
		w.end()
		w.begin("")
		time.Sleep(10 * time.Minute)
		if n := deleted(); n != 5 {
			w.t.Errorf("a restart released the fuse: %d destroyed", n)
		}
		found, err := w.life.manager.Audit()
		if err != nil || found.Unexplained != 4 || found.Fuse == "" {
			w.t.Errorf("%+v, %v", found, err)
		}
		if err := w.life.manager.ReleaseFuse(); err != nil {
			w.t.Error(err)
		}
	}, nil)
}

// A kept instance counts until it is forgotten, and is never touched.
func TestKeptAndForgotten(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.KeepFinished = true
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		w.begin("")
		time.Sleep(3 * time.Minute)
		key := w.cfg.Runners[0].Owner.Key(100001)
		w.wantVerdict(key, "kept, as configured", true)
		if s := w.life.manager.Status(); s.Weight == 0 {
			w.t.Error("the weight of a kept instance does not count")
		}
		if err := w.life.manager.Forget("hpd-job-abcdefghij-1"); !errors.Is(err, manager.ErrNotKept) {
			w.t.Errorf("forgetting an unknown key: %v", err)
		}
		if err := w.life.manager.Forget(key); err != nil {
			w.t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if s := w.life.manager.Status(); s.Weight != 0 || len(s.Instances)+len(s.Strangers) != 0 {
			w.t.Errorf("after forgetting: %+v", s)
		}
		w.wantVerdict(key, "kept and then forgotten", true)
		if app := w.clever.Applications()[0]; app.State == "deleted" {
			w.t.Error("a forgotten instance was destroyed")
		}
		// For the checker, which wants nothing left, somebody removes it by hand.
		w.remove(key)
	}, nil)
}

// What was listed proves something only when every cloud has been: one tenant's that never
// answered leaves the audit without a proof, and says so.
func TestAuditWithoutProof(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/orga_two/applications", "times": 0, "status": 503})
		w.begin("")
		time.Sleep(5 * time.Minute)
		found, err := w.life.manager.Audit()
		if err != nil || !found.ProvenAt.IsZero() || len(found.Problems) != 1 || !strings.HasPrefix(found.Problems[0], "clever two: ") {
			w.t.Errorf("%+v, %v", found, err)
		}
		w.heal(cleverURL)
		time.Sleep(5 * time.Minute)
		if found, err = w.life.manager.Audit(); err != nil || found.ProvenAt.IsZero() || len(found.Problems) != 0 {
			w.t.Errorf("when it answers again: %+v, %v", found, err)
		}
	}, nil)
}

// A deletion that fails is explained for a while, then somebody has to look; trying goes on.
func TestAuditOfAResistingInstance(t *testing.T) {
	run(t, func(w *world) {
		w.fault(cleverURL, map[string]any{"match": "DELETE /v2/organisations/*/applications/*", "times": 0, "status": 500})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		w.begin("")
		key := w.cfg.Runners[0].Owner.Key(100001)
		time.Sleep(6 * time.Minute)
		w.wantVerdict(key, "being deleted", true)
		time.Sleep(15 * time.Minute)
		w.wantVerdict(key, "resists its deletion since", false)
		w.heal(cleverURL)
	}, nil)
}

// unread is a cloud that does not give back what was put on an instance.
type unread struct{ cloud.Provisioner }

func (unread) Recover(context.Context, cloud.Ref) ([]fleet.File, error) {
	return nil, &fleet.CallError{Class: fleet.Permanent, Err: errors.New("the repository is empty")}
}

// The ledger is lost and what was put on an instance can't be read back: it is left alone
// while its task runs, however old it is, and goes when that has ended.
func TestUnreadableStranger(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 900}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.end()
		w.lose()
		w.around = func(p cloud.Provisioner) cloud.Provisioner { return unread{p} }
		w.begin("")
		time.Sleep(10 * time.Minute)
		w.wantVerdict(w.cfg.Runners[0].Owner.Key(100001), "its files can't be read back: left alone until its task ends", false)
		if s := w.life.manager.Status(); s.Weight == 0 {
			w.t.Error("its weight does not count")
		}
		time.Sleep(10 * time.Minute)
		if apps := w.clever.Applications(); apps[0].State != "deleted" {
			w.t.Errorf("its task has ended, and it is %s", apps[0].State)
		}
	}, nil)
}

// The ledger is lost while lists are old: they show an instance as never started that runs by
// now. It is asked for itself before anything is done, and adopted.
func TestOldListAfterALostLedger(t *testing.T) {
	run(t, func(w *world) {
		w.fault(cleverURL, map[string]any{"match": "POST /git/*/git-receive-pack", "delay": "80s", "times": 1})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 900}, "success")
		w.begin("")
		time.Sleep(20 * time.Second)
		w.watch.lies.staleLists(20 * time.Minute) // as it is at the next list
		time.Sleep(4 * time.Minute)
		w.end()
		w.lose()
		w.begin("")
		time.Sleep(5 * time.Minute)
		if s := w.life.manager.Status(); len(s.Jobs) != 1 || len(s.Instances) != 1 || s.Instances[0].State != fleet.InstanceStarted {
			w.t.Errorf("the instance is not adopted: %+v", s)
		}
	}, func(w *world) {
		if !strings.Contains(w.log.String(), "state=created") {
			w.t.Error("the lists were not old")
		}
	})
}

// asked runs do when somebody asks for an instance.
type asked struct {
	cloud.Provisioner
	do func()
}

func (a asked) Inspect(ctx context.Context, ref cloud.Ref) (cloud.Sighting, error) {
	a.do()
	return a.Provisioner.Inspect(ctx, ref)
}

// What is forgotten while the cloud is asked for it stays as it was given away: the answer
// changes nothing any more.
func TestForgottenWhileItIsAskedFor(t *testing.T) {
	forgot := 0
	run(t, func(w *world) {
		key := w.cfg.Runners[0].Owner.Key(100001)
		w.cfg.KeepFinished = true
		w.around = func(p cloud.Provisioner) cloud.Provisioner {
			return asked{p, func() {
				w.given.Store(key, true)
				if err := w.life.manager.Forget(key); err == nil {
					forgot++
				}
			}}
		}
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.removeAll(key)
		time.Sleep(5 * time.Minute)
	}, func(w *world) {
		if forgot != 1 || strings.Contains(w.log.String(), "an instance vanished") {
			t.Errorf("it was forgotten %d times; log:\n%s", forgot, w.log.String())
		}
	})
}
