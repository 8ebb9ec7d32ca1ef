// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// message is the answer shape of version 2 for errors and for acts that have nothing to
// show.
type message struct {
	ID      int               `json:"id"`
	Message string            `json:"message"`
	Type    string            `json:"type"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// messageV4 is the shape of errors in version 4.
type messageV4 struct {
	Code    string         `json:"code"`
	Error   string         `json:"error"`
	Context map[string]any `json:"context"`
}

// problem is an error that a client is answered with.
type problem struct {
	Status int
	ID     int
	Text   string
	Fields map[string]string // what was wrong with each
}

// Error implements error.
func (p *problem) Error() string { return fmt.Sprintf("%d (%d): %s", p.ID, p.Status, p.Text) }

// The ids are the platform's own where one is known.
const (
	idNotAuthenticated = 2001
	idNotAuthorized    = 2002
	idNoSuchOrg        = 4001
	idNoSuchApp        = 4004
	idNoFavourite      = 4021
	idNoSuchInstance   = 9017
	idNoRoute          = 404
	idBadRequest       = 400
	idInvalidEnv       = 557
	idNoSuchDeployment = 4008
	idDeleted          = 302
	idRedeploy         = 320
	idInternal         = 5001
)

func notAuthenticated(format string, args ...any) error {
	return refuse(http.StatusUnauthorized, idNotAuthenticated, "Not connected: "+format, args...)
}

func notAuthorized(format string, args ...any) error {
	return refuse(http.StatusForbidden, idNotAuthorized, format, args...)
}

func noSuchApp() error {
	return notFound(idNoSuchApp, "The specified application doesn't exist")
}

func notFound(id int, text string) error { return refuse(http.StatusNotFound, id, "%s", text) }

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, idBadRequest, format, args...)
}

func refuse(status, id int, format string, args ...any) error {
	return &problem{Status: status, ID: id, Text: fmt.Sprintf(format, args...)}
}

func success(id int, format string, args ...any) message {
	return message{ID: id, Message: fmt.Sprintf(format, args...), Type: "success"}
}

// shape says an error as the version of the API in the path does. A refused credential
// looks the same in both.
func (p *problem) shape(path string) any {
	if strings.HasPrefix(path, "/v4/") && p.Status != http.StatusUnauthorized {
		kind := strings.ToLower(strings.ReplaceAll(http.StatusText(p.Status), " ", "-"))
		context := map[string]any{}
		for name, wrong := range p.Fields {
			context["OVDErrorFieldContext"] = map[string]string{"fieldName": name, "fieldValue": wrong}
		}
		return messageV4{Code: "clever.sim." + kind, Error: p.Text, Context: context}
	}
	return message{ID: p.ID, Message: p.Text, Type: "error", Fields: p.Fields}
}

// answer writes a handler's result.
func answer(w http.ResponseWriter, r *http.Request, body any, err error) {
	status, raw := encode(r.URL.Path, body, err)
	send(w, status, raw)
}

func encode(path string, body any, err error) (int, []byte) {
	status := http.StatusOK
	if err != nil {
		p := &problem{}
		if !errors.As(err, &p) {
			p = &problem{Status: http.StatusInternalServerError, ID: idInternal, Text: err.Error()}
		}
		status, body = p.Status, p.shape(path)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"id":5001,"type":"error","message":"unencodable answer"}`)
	}
	return status, append(raw, '\n')
}

func send(w http.ResponseWriter, status int, raw []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sozu-Id", "01SIMSIMSIMSIMSIMSIMSIMSIM")
	w.WriteHeader(status)
	// A client that went away is not our trouble.
	_, _ = w.Write(raw)
}
