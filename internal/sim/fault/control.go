// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxControlBody bounds the body of a control request.
const maxControlBody = 16 << 20

// control serves the panel's own endpoints.
func (p *Panel) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		Answer(w, http.StatusOK, p.Faults())
	})
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		p.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_sim/requests", func(w http.ResponseWriter, _ *http.Request) {
		Answer(w, http.StatusOK, p.Requests())
	})
	mux.HandleFunc("POST /_sim/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := Decode(r, &f); err != nil {
			Refuse(w, err)
			return
		}
		id, err := p.Add(f)
		if err != nil {
			Refuse(w, err)
			return
		}
		Answer(w, http.StatusCreated, map[string]int{"id": id})
	})
	return mux
}

// Decode reads the body of a control request: one JSON value without unknown fields.
func Decode(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxControlBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the body: something follows the JSON value")
	}
	return nil
}

// Answer answers a control request with a JSON value.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may be gone
}

// Refuse answers a control request that can't be understood with 400 and the reason.
func Refuse(w http.ResponseWriter, err error) {
	Answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}
