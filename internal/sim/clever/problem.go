// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// message is the platform's answer shape for errors and for acts that have
// nothing to show.
type message struct {
	ID      int    `json:"id"`
	Message string `json:"message"`
	Type    string `json:"type"`
}

// problem is an error that a client is answered with.
type problem struct {
	Status int
	ID     int
	Text   string
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
	idBadRequest       = 400
	idNoSuchDeployment = 4008
	idDeleted          = 302
	idRedeploy         = 320
)

func notAuthenticated() error {
	return &problem{http.StatusUnauthorized, idNotAuthenticated, "Not connected"}
}

func noSuchApp() error {
	return &problem{http.StatusNotFound, idNoSuchApp, "The specified application doesn't exist"}
}

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, idBadRequest, fmt.Sprintf(format, args...)}
}

func success(id int, format string, args ...any) message {
	return message{ID: id, Message: fmt.Sprintf(format, args...), Type: "success"}
}

// answer writes a handler's result.
func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		p := &problem{}
		ok := errors.As(err, &p)
		if !ok {
			p = &problem{http.StatusInternalServerError, 5001, err.Error()}
		}
		status, body = p.Status, message{ID: p.ID, Message: p.Text, Type: "error"}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"id":5001,"type":"error","message":"unencodable answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sozu-Id", "01SIMSIMSIMSIMSIMSIMSIMSIM")
	w.WriteHeader(status)
	// A client that went away is not our trouble.
	_, _ = w.Write(append(raw, '\n'))
}
