// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"testing"
)

// Create makes a container; config is the API's own object. It has a terminal unless
// config says otherwise, so that its log is what it wrote and nothing else.
func (e *Engine) Create(t testing.TB, name string, config map[string]any) (id string) {
	t.Helper()
	whole := map[string]any{"Tty": true}
	maps.Copy(whole, config)
	var made struct {
		ID string `json:"Id"`
	}
	e.Must(t, http.MethodPost, "/containers/create?"+url.Values{"name": {name}}.Encode(), whole, &made)
	return made.ID
}

// Run makes a container and starts it.
func (e *Engine) Run(t testing.TB, name string, config map[string]any) (id string) {
	t.Helper()
	id = e.Create(t, name, config)
	e.Must(t, http.MethodPost, "/containers/"+id+"/start", nil, nil)
	return id
}

// Wait waits until a container has ended and gives its exit code.
func (e *Engine) Wait(t testing.TB, id string) int {
	t.Helper()
	var end struct{ StatusCode int }
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	if err := e.do(ctx, http.MethodPost, "/containers/"+id+"/wait", nil, &end); err != nil {
		t.Fatal(err)
	}
	return end.StatusCode
}

// Output is what a container has written.
func (e *Engine) Output(t testing.TB, id string) string {
	t.Helper()
	var text []byte
	e.Must(t, http.MethodGet, "/containers/"+id+"/logs?stdout=true&stderr=true", nil, &text)
	return string(text)
}

// Exec runs a command in a container and gives what it wrote and its exit code.
func (e *Engine) Exec(t testing.TB, id string, argv ...string) (output string, code int) {
	t.Helper()
	var made struct {
		ID string `json:"Id"`
	}
	wish := map[string]any{"Cmd": argv, "AttachStdout": true, "AttachStderr": true, "Tty": true}
	e.Must(t, http.MethodPost, "/containers/"+id+"/exec", wish, &made)
	var text []byte
	e.Must(t, http.MethodPost, "/exec/"+made.ID+"/start", map[string]any{"Tty": true}, &text)
	var end struct{ ExitCode int }
	e.Must(t, http.MethodGet, "/exec/"+made.ID+"/json", nil, &end)
	return string(text), end.ExitCode
}

// Remove removes a container, running or not.
func (e *Engine) Remove(t testing.TB, id string) {
	t.Helper()
	e.Must(t, http.MethodDelete, "/containers/"+id+"?force=true&v=true", nil, nil)
}
