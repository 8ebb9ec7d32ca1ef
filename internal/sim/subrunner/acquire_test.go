// SPDX-License-Identifier: Apache-2.0

package subrunner_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// acquire takes a job the way that a manager does. It gives the payload and the token.
func (b *bubble) acquire() ([]byte, string) {
	b.t.Helper()
	body := `{"token":"` + gitlab.RunnerToken + `","info":{"features":{"cancel_gracefully":true,"return_exit_code":true}}}`
	status, raw := b.send(http.MethodPost, "/api/v4/jobs/request", body, http.Header{"Content-Type": {"application/json"}})
	var p struct{ Token string }
	if err := json.Unmarshal(raw, &p); err != nil || status != http.StatusCreated {
		b.t.Fatalf("acquire: %d %s", status, raw)
	}
	return raw, p.Token
}

func (b *bubble) patch(id int64, token, text string) {
	b.t.Helper()
	header := http.Header{"Job-Token": {token}, "Content-Type": {"text/plain"}, "Content-Range": {fmt.Sprintf("0-%d", len(text)-1)}}
	if status, raw := b.send(http.MethodPatch, fmt.Sprintf("/api/v4/jobs/%d/trace", id), text, header); status != http.StatusAccepted {
		b.t.Fatalf("patch: %d %s", status, raw)
	}
}

func (b *bubble) send(method, path, body string, header http.Header) (int, []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, coordinator+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header = header
	resp, err := b.net.Transport().RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, raw
}
