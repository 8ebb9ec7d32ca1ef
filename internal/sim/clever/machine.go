// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"errors"
	"maps"
	"time"
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
	if d.instance == "" {
		a.boot(d, s.newID("instance"), now())
	}
	a.destroy = destroy
	return d
}

// errDestroyed: the machine went away before its task ended.
var errDestroyed = errors.New("machine destroyed")

func (s *Server) bootAndLaunch(ctx context.Context, a *application, d *deployment) error {
	boot := time.NewTimer(s.cfg.BootTime - now().Sub(d.machineFrom))
	defer boot.Stop()
	select {
	case <-ctx.Done():
		return errDestroyed
	case <-boot.C:
	}
	task, err := s.prepare(a, d)
	if err != nil {
		return err
	}
	if s.cfg.Launcher == nil {
		<-ctx.Done()
		return errDestroyed
	}
	return s.cfg.Launcher.Launch(ctx, task)
}

// prepare reads the pushed Dockerfile and notes that the task runs.
func (s *Server) prepare(a *application, d *deployment) (Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.state == stateDeleted || d.state != "WIP" {
		return Task{}, errDestroyed
	}
	image, err := buildImage(d.files)
	if err != nil {
		return Task{}, err
	}
	env := map[string]string{}
	maps.Copy(env, image.env)
	maps.Copy(env, a.env)
	maps.Copy(env, map[string]string{
		"APP_ID": a.id, "CC_APP_NAME": a.spec.Name, "CC_COMMIT_ID": d.commit, "CC_DEPLOYMENT_ID": d.uuid,
		"INSTANCE_ID": d.instance, "INSTANCE_NUMBER": "0", "INSTANCE_TYPE": "production", "PORT": "8080",
	})
	a.state = stateRunning
	if a.task() {
		d.state, d.machine = "TASK_RUNNING", "TASK_IN_PROGRESS"
	} else {
		d.state, d.machine = "OK", "UP"
	}
	s.log.Debug("task runs", "app", a.id, "name", a.spec.Name, "argv", image.argv)
	return Task{Name: a.spec.Name, Argv: image.argv, Files: image.files, Executable: image.executable, Env: env, Log: a.output}, nil
}

// settle notes how a deployment ended.
func (s *Server) settle(a *application, d *deployment, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.destroy = nil
	if !d.machineTo.IsZero() { // deleted or stopped meanwhile: noted there
		return
	}
	a.stop(d, now())
	a.state, d.state = stateEnded, "OK"
	if err != nil {
		a.state, d.state = stateFailed, "FAIL"
		s.log.Warn("task failed", "app", a.id, "name", a.spec.Name, "err", err)
		_, _ = a.output.Write([]byte("task failed: " + err.Error() + "\n")) // never fails
	}
}
