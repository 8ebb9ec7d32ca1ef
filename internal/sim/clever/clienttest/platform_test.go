// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/clever/spectest"
)

// described is read once: it takes a while.
var described = sync.OnceValues(func() (*spectest.Spec, error) { return spectest.Load(context.Background()) })

// platform is a simulated one on a real port.
type platform struct {
	*clever.Server
	url  string
	cert string // file with its certificate; "" over http
}

// begin starts a platform on which a task prints a line and ends, or, when its variable
// HOLD says so, goes on until it is destroyed.
func begin(t *testing.T, secure bool, taskState string) *platform {
	t.Helper()
	spec, err := described()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{Server: clever.New(clever.Config{Launcher: printer{}, TaskState: taskState})}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	web := httptest.NewUnstartedServer(judge{t, spec, p.Server})
	if secure {
		web.StartTLS()
		p.cert = filepath.Join(t.TempDir(), "cert.pem")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
		if err := os.WriteFile(p.cert, text, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		web.Start()
	}
	p.url = web.URL
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		stop()
		<-done
	})
	return p
}

// only gives the application of that name, which must be the only one that exists.
func (p *platform) only(t *testing.T, name string) clever.Application {
	t.Helper()
	var found []clever.Application
	for _, a := range p.Applications() {
		if a.State != "deleted" {
			found = append(found, a)
		}
	}
	if len(found) != 1 || found[0].Name != name {
		t.Fatalf("want the application %s alone, got %+v", name, found)
	}
	return found[0]
}

// printer is a launcher.
type printer struct{}

// Launch implements clever.Launcher.
func (printer) Launch(ctx context.Context, task clever.Task) error {
	fmt.Fprintf(task.Log, "hello from %s\n", task.Name)
	if task.Env["HOLD"] == "" {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// judge holds every answer of version 2 against the platform's description.
type judge struct {
	t    *testing.T
	spec *spectest.Spec
	next http.Handler
}

// ServeHTTP implements http.Handler.
func (j judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(strings.TrimPrefix(r.URL.Path, "/bridge"), "/v2/") {
		j.next.ServeHTTP(w, r) // git and streams go on while they are read
		return
	}
	method, path := r.Method, r.URL.EscapedPath()
	kept := httptest.NewRecorder()
	j.next.ServeHTTP(kept, r)
	if err := j.spec.Check(method, path, kept.Code, kept.Body.Bytes()); err != nil {
		j.t.Error(err)
	}
	maps.Copy(w.Header(), kept.Header())
	w.WriteHeader(kept.Code)
	_, _ = io.Copy(w, kept.Body) // the client may be gone
}

// waitFor looks again and again until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		case <-look.C:
		}
	}
}
