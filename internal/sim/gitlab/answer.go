// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// reply is an answer that is decided under the lock and written without it, since a
// slow client must not stop the server.
type reply struct {
	status  int
	headers map[string]string
	body    any    // JSON, unless nil
	text    string // else text
}

func (a reply) write(w http.ResponseWriter) {
	for k, v := range a.headers {
		w.Header().Set(k, v)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.text) // the client may be gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(a.body) // the client may be gone
}

// message is an error in the form that most of GitLab's API uses.
func message(status int, text string) reply {
	return reply{status: status, body: map[string]string{"message": text}}
}

// failure is an error in the form that Grape's own errors have.
func failure(status int, text string) reply {
	return reply{status: status, body: map[string]string{"error": text}}
}

func forbidden() reply    { return message(http.StatusForbidden, "403 Forbidden") }
func unauthorized() reply { return message(http.StatusUnauthorized, "401 Unauthorized") }
func notFound(what string) reply {
	return message(http.StatusNotFound, strings.Join(strings.Fields("404 "+what+" Not Found"), " "))
}

// admin lets an endpoint be used with the administrator's token only.
func (s *Server) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Private-Token")
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token == "" {
			token = bearer
		}
		if token == "" {
			token = r.URL.Query().Get("private_token")
		}
		if token != AdminToken {
			unauthorized().write(w)
			return
		}
		next(w, r)
	}
}

// maxBody bounds a JSON body, as Workhorse does for job requests.
const maxBody = 32 << 10

// readJSON reads a JSON body; on failure the answer is written already. Fields that we
// don't know are ignored, as GitLab does.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(v)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		message(http.StatusRequestEntityTooLarge, "413 Request Entity Too Large").write(w)
	case err != nil && !errors.Is(err, io.EOF): // no body is no fields
		failure(http.StatusBadRequest, "The request body is no JSON: "+err.Error()).write(w)
	default:
		return true
	}
	return false
}

// secret makes a token's random part; the caller holds the lock.
func (s *Server) secret() string {
	s.secrets++
	sum := sha256.Sum256(fmt.Appendf(nil, "secret %d %d", s.config.Seed, s.secrets))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}
