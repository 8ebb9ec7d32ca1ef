// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"time"
)

const (
	listenTime  = 30 * time.Second       // how long an application may take until it listens
	listenEvery = 200 * time.Millisecond // how often this is looked at
)

var (
	// errDestroyed: the machine went away before its task ended.
	errDestroyed = errors.New("machine destroyed")
	errSilent    = errors.New("nothing listens on the application's port")
)

// runMachine runs the waiting deployments of an application, one after the other:
// while a task runs, the platform starts no other deployment of it.
func (s *Server) runMachine(ctx context.Context, a *application) {
	for {
		ctx, destroy := context.WithCancel(ctx)
		d := s.takeUp(a, destroy)
		if d == nil {
			destroy()
			return
		}
		err := s.bootAndLaunch(ctx, a, d)
		destroy()
		s.settle(a, d, err)
	}
}

// takeUp gives an application's next deployment its machine; nil ends the machine's loop.
func (s *Server) takeUp(a *application, destroy context.CancelFunc) *deployment {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := a.next()
	if d == nil || a.state == stateDeleted {
		a.busy = false
		return nil
	}
	d.taken = true
	s.bootNow(a, d, now())
	a.destroy = destroy
	return d
}

// bootNow begins to boot a machine for a deployment that is shown. Needs s.mu.
func (s *Server) bootNow(a *application, d *deployment, at time.Time) {
	if d.instance != "" || !d.open() || at.Before(d.at) {
		return
	}
	d.boot(s.newID("instance"), at, seconds(s.world.BootSeconds))
	a.state = stateBooting
}

func (s *Server) bootAndLaunch(ctx context.Context, a *application, d *deployment) error {
	if !wait(ctx, d.at.Sub(now())) { // until it is shown
		return errDestroyed
	}
	s.mu.Lock()
	s.bootNow(a, d, now())
	boot, stuck := d.bootTime-now().Sub(d.machineFrom), s.world.StuckDeployments
	s.mu.Unlock()
	if !wait(ctx, boot) {
		return errDestroyed
	}
	if stuck {
		<-ctx.Done()
		return errDestroyed
	}
	work, err := s.prepare(a, d)
	if err != nil {
		return err
	}
	if work.ghost {
		<-ctx.Done()
		return errDestroyed
	}
	if work.server {
		return s.launchServer(ctx, a, d, work.task)
	}
	s.runs(a, d)
	if s.cfg.Launcher == nil {
		<-ctx.Done()
		return errDestroyed
	}
	return s.cfg.Launcher.Launch(ctx, work.task)
}

// wait waits for a time; false if the machine was destroyed meanwhile.
func wait(ctx context.Context, long time.Duration) bool {
	if long <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// launchServer runs what is no task: it fails unless something listens in time.
func (s *Server) launchServer(ctx context.Context, a *application, d *deployment, task Task) error {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	ended := make(chan error, 1)
	go func() { ended <- s.cfg.Launcher.Launch(ctx, task) }()
	look := time.NewTicker(listenEvery)
	defer look.Stop()
	for until := now().Add(listenTime); ; {
		if s.cfg.Listens(ctx, task.Env["PORT"]) {
			s.runs(a, d)
			return <-ended
		}
		select {
		case err := <-ended:
			if err == nil {
				err = errSilent
			}
			return err
		case <-look.C:
		}
		if now().After(until) {
			kill()
			return errors.Join(errSilent, <-ended)
		}
	}
}

// work is what a machine that has booted has to do.
type work struct {
	task   Task
	ghost  bool // nothing, and never to be heard of again
	server bool // it is no task and fails unless something listens
}

// prepare reads the pushed Dockerfile.
func (s *Server) prepare(a *application, d *deployment) (work, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.state == stateDeleted || d.state != "WIP" {
		return work{}, errDestroyed
	}
	if s.world.GhostInstances {
		d.machine = "GHOST"
		return work{ghost: true}, nil
	}
	image, err := buildImage(d.files)
	if err != nil {
		return work{}, err
	}
	env := map[string]string{}
	maps.Copy(env, image.env)
	maps.Copy(env, s.givenEnv(a))
	maps.Copy(env, a.env)
	maps.Copy(env, map[string]string{
		"APP_ID": a.id, "CC_APP_NAME": a.spec.Name, "CC_COMMIT_ID": d.commit, "CC_DEPLOYMENT_ID": d.uuid,
		"INSTANCE_ID": d.instance, "INSTANCE_NUMBER": "0", "INSTANCE_TYPE": "production",
		"PORT": cmp.Or(a.env["CC_DOCKER_EXPOSED_HTTP_PORT"], "8080"),
	})
	a.output.belongsTo(d)
	s.log.Debug("task runs", "app", a.id, "name", a.spec.Name, "argv", image.argv)
	task := Task{Name: a.spec.Name, Argv: image.argv, Files: image.files, Executable: image.executable, Env: env, Log: a.output}
	return work{task: task, server: !a.task() && s.cfg.Listens != nil && s.cfg.Launcher != nil}, nil
}

// runs notes that what was pushed runs.
func (s *Server) runs(a *application, d *deployment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.state == stateDeleted || !d.open() {
		return
	}
	a.state = stateRunning
	switch {
	case !a.task():
		d.machine = "UP"
		d.set("OK", now())
	case s.world.TaskState == TaskWIP:
		d.machine = "TASK_IN_PROGRESS"
	default:
		d.machine = "TASK_IN_PROGRESS"
		d.set("TASK_RUNNING", now())
	}
	a.output.say(d, "Successfully deployed in "+d.took(now()))
}

// settle notes how a deployment ended.
func (s *Server) settle(a *application, d *deployment, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.destroy = nil
	if !d.machineTo.IsZero() || d.state == "CANCELLED" { // deleted or stopped meanwhile: noted there
		return
	}
	d.stopping, d.machineTo = now(), now().Add(seconds(s.world.StopSeconds))
	a.state = stateEnded
	if err == nil {
		d.set("OK", now())
		return
	}
	a.state = stateFailed
	switch { // what the platform says of a task that ran and failed is not known
	case d.machine == "":
		d.set("FAIL", now())
	case d.open():
		d.set(s.world.FailedTaskState, now())
	}
	a.output.say(d, "Deploy failed in "+d.took(now()))
	s.log.Warn("task failed", "app", a.id, "name", a.spec.Name, "err", err)
	_, _ = a.output.Write([]byte("task failed: " + err.Error() + "\n")) // never fails
}
