// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
)

// The words for a task that runs, of which it is not known what the platform says.
const (
	TaskRunning = "task_running"
	TaskWIP     = "wip"
)

// World is how the platform behaves at the moment. GET /_sim/world shows it, POST
// changes what its body names.
type World struct {
	// How long things take.
	BootSeconds          float64 `json:"boot_seconds"`
	RepoDelaySeconds     float64 `json:"repo_delay_seconds"`
	DeploymentLagSeconds float64 `json:"deployment_lag_seconds"` // from a push until its deployment exists
	StopSeconds          float64 `json:"stop_seconds"`           // how long a machine that ends goes on existing
	StaleListsSeconds    float64 `json:"stale_lists_seconds"`    // how old what lists show is

	// What is said in several ways, or nobody knows how.
	TaskState        string `json:"task_state"`        // task_running or wip
	FailedTaskState  string `json:"failed_task_state"` // FAIL or OK
	DockerVersion    string `json:"docker_version"`    // creations with another one are refused
	ApplicationState string `json:"application_state"` // in the place of SHOULD_BE_UP and SHOULD_BE_DOWN

	// What goes wrong. Numbers count down.
	RefuseEnvInBody             bool   `json:"refuse_env_in_body"`
	AcceptPushWithoutDeployment bool   `json:"accept_push_without_deployment"`
	StuckDeployments            bool   `json:"stuck_deployments"` // machines never get beyond booting
	GhostInstances              bool   `json:"ghost_instances"`   // machines boot and are not heard of again
	IgnoreDelete                int    `json:"ignore_delete"`     // deletions that are accepted and not done
	MalformedCreates            int    `json:"malformed_creates"` // creations whose answer is cut in the middle
	Logs                        string `json:"logs"`              // drop, silent or no_end
}

func (cfg Config) world() World {
	return World{
		BootSeconds: cfg.BootTime.Seconds(), RepoDelaySeconds: cfg.RepoDelay.Seconds(),
		TaskState: cmp.Or(cfg.TaskState, TaskRunning), FailedTaskState: "FAIL", DockerVersion: dockerVersion,
	}
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// check refuses what is no world, naming the field.
func (w World) check() error {
	numbers := map[string]float64{
		"boot_seconds": w.BootSeconds, "repo_delay_seconds": w.RepoDelaySeconds, "deployment_lag_seconds": w.DeploymentLagSeconds,
		"stop_seconds": w.StopSeconds, "stale_lists_seconds": w.StaleListsSeconds,
		"ignore_delete": float64(w.IgnoreDelete), "malformed_creates": float64(w.MalformedCreates),
	}
	words := []struct {
		name, word string
		allowed    []string
	}{
		{"task_state", w.TaskState, []string{TaskRunning, TaskWIP}},
		{"failed_task_state", w.FailedTaskState, []string{"FAIL", "OK"}},
		{"application_state", w.ApplicationState, []string{"", "WANTS_TO_BE_UP", "MODERATED", "DEFAULT_OF_PAYMENT"}},
		{"logs", w.Logs, []string{"", "drop", "silent", "no_end"}},
	}
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if n := numbers[name]; n < 0 || n > 1e9 {
			return fmt.Errorf("%s is %g, want 0 to 1e9", name, n)
		}
	}
	for _, v := range words {
		if !slices.Contains(v.allowed, v.word) {
			return fmt.Errorf("%s is %q, want one of %q", v.name, v.word, v.allowed)
		}
	}
	if w.DockerVersion == "" {
		return fmt.Errorf("docker_version is empty")
	}
	return nil
}

// World shows how the platform behaves.
func (s *Server) World() World {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world
}

// SetWorld makes it behave in another way from now on.
func (s *Server) SetWorld(w World) error {
	if err := w.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world = w
	return nil
}

func (s *Server) routeWorld(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sim/world", func(w http.ResponseWriter, _ *http.Request) {
		fault.Answer(w, http.StatusOK, s.World())
	})
	mux.HandleFunc("POST /_sim/world", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			err = s.changeWorld(r, body)
		}
		if err != nil {
			fault.Refuse(w, err)
			return
		}
		fault.Answer(w, http.StatusOK, s.World())
	})
}

// changeWorld changes what the body names, at once with reading the rest.
func (s *Server) changeWorld(r *http.Request, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	world := s.world
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := fault.Decode(r, &world); err != nil {
		return err
	}
	if err := world.check(); err != nil {
		return err
	}
	s.world = world
	return nil
}
