// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"net/http"

	"heptapod-paas-runner/internal/secret"
)

// Authenticator puts a tenant's credential on an API request.
type Authenticator interface {
	Authorize(r *http.Request, token secret.String)
}

// Scheme is an Authenticator that sends `Authorization: <scheme> <token>`:
// "token" for the organisation tokens that runners use, "Bearer" for service
// tokens.
type Scheme string

// Authorize implements Authenticator.
func (s Scheme) Authorize(r *http.Request, token secret.String) {
	r.Header.Set("Authorization", string(s)+" "+token.Reveal())
}
