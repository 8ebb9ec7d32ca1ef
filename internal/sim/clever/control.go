// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"heptapod-paas-runner/internal/sim/fault"
)

// Application is what GET /_sim/applications shows of one application.
type Application struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Organisation string            `json:"organisation"`
	Flavor       string            `json:"flavor"`
	Zone         string            `json:"zone"`
	Env          map[string]string `json:"env"`
	Files        map[string]any    `json:"files"` // text, or a Binary
	State        string            `json:"state"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at"` // its machine began to boot
	EndedAt      *time.Time        `json:"ended_at"`   // its machine went away
	DeletedAt    *time.Time        `json:"deleted_at"`
	VMSeconds    float64           `json:"vm_seconds"` // how long its machines have existed
}

// Binary stands for a file that is not text.
type Binary struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// Panel is the panel behind /_sim/faults and /_sim/requests.
func (s *Server) Panel() *fault.Panel { return s.panel }

// Applications lists all applications that ever existed, in order of creation.
func (s *Server) Applications() []Application {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Application, 0, len(s.apps))
	for _, a := range s.apps {
		list = append(list, a.show(now()))
	}
	return list
}

func (a *application) show(at time.Time) Application {
	return Application{
		ID: a.id, Name: a.spec.Name, Organisation: a.org, Flavor: a.spec.MaxFlavor, Zone: a.spec.Zone,
		Env: maps.Clone(a.env), Files: a.files, State: a.state, CreatedAt: a.created,
		StartedAt: timeOrNull(a.started()), EndedAt: timeOrNull(a.ended(at)), DeletedAt: timeOrNull(a.deleted),
		VMSeconds: math.Round(a.vmTime(at).Seconds()*1000) / 1000,
	}
}

// Usage is how long machines of one flavor have existed for one organisation.
type Usage struct {
	Organisation string  `json:"organisation"`
	Flavor       string  `json:"flavor"`
	VMSeconds    float64 `json:"vm_seconds"`
	Price        float64 `json:"price"` // in EUR, by the second
}

// Usage adds up what each organisation has used, by organisation and flavor.
func (s *Server) Usage() []Usage {
	sums := map[[2]string]float64{}
	for _, a := range s.Applications() {
		sums[[2]string{a.Organisation, a.Flavor}] += a.VMSeconds
	}
	list := make([]Usage, 0, len(sums))
	for key, n := range sums {
		flavor, _ := flavorNamed(key[1])
		list = append(list, Usage{key[0], key[1], math.Round(n*1000) / 1000, math.Round(n/3600*flavor.hourly*1e6) / 1e6})
	}
	slices.SortFunc(list, func(a, b Usage) int {
		return cmp.Or(cmp.Compare(a.Organisation, b.Organisation), cmp.Compare(a.Flavor, b.Flavor))
	})
	return list
}

// showFiles makes what the control endpoint shows of a tree.
func showFiles(files *snapshot) map[string]any {
	shown := map[string]any{}
	for name, f := range files.files {
		if utf8.Valid(f.data) {
			shown[name] = string(f.data)
			continue
		}
		sum := sha256.Sum256(f.data)
		shown[name] = Binary{Size: len(f.data), SHA256: hex.EncodeToString(sum[:])}
	}
	return shown
}

// Output gives the end of what the machines of an application printed.
func (s *Server) Output(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.byID[id]; a != nil {
		return a.output.String()
	}
	return ""
}

// AddForeign makes an application that is nobody's of us.
func (s *Server) AddForeign(org, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orgs[org] == nil {
		return "", errors.New("no such organisation: " + org)
	}
	spec := appSpec{Name: name, InstanceType: "docker", InstanceVersion: s.world.DockerVersion}
	if err := spec.complete(); err != nil {
		return "", err
	}
	variant, _ := s.variantOf("docker", s.world.DockerVersion, "")
	return s.add(org, spec, variant, now()).id, nil
}

func (s *Server) routeControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sim/applications", func(w http.ResponseWriter, _ *http.Request) {
		fault.Answer(w, http.StatusOK, s.Applications())
	})
	mux.HandleFunc("GET /_sim/applications/{app}/output", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(s.Output(r.PathValue("app")))) // the client may be gone
	})
	mux.HandleFunc("POST /_sim/foreign", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Name         string `json:"name"`
			Organisation string `json:"organisation"`
		}
		err := fault.Decode(r, &body)
		if err == nil {
			var id string
			if id, err = s.AddForeign(body.Organisation, body.Name); err == nil {
				fault.Answer(w, http.StatusCreated, map[string]string{"id": id})
				return
			}
		}
		fault.Refuse(w, err)
	})
	mux.HandleFunc("GET /_sim/usage", func(w http.ResponseWriter, _ *http.Request) {
		fault.Answer(w, http.StatusOK, s.Usage())
	})
}
