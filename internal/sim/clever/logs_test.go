// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

func TestLogsAreStreamed(t *testing.T) {
	t.Parallel()
	printed := make(chan struct{})
	l := &recorder{}
	l.end = func(context.Context) error {
		<-printed
		task := l.seen()[0]
		_, _ = io.WriteString(task.Log, "half a line, ")
		_, _ = io.WriteString(task.Log, "the rest\nunfinished")
		return nil
	}
	s := clever.New(clever.Config{Launcher: l})
	go func() { _ = s.Run(t.Context()) }()
	web := httptest.NewServer(s)
	defer web.Close()
	a := api{t: t, s: s, token: clever.FirstToken}
	app := a.create("one")
	if got, raw := a.do("GET", "/v4/logs/organisations/orga_sim/applications/app_none/logs", ""); got != http.StatusNotFound || !strings.Contains(string(raw), `"error":"The specified application doesn't exist"`) {
		t.Errorf("of no application: %d %s", got, raw)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/v4/logs/organisations/orga_sim/applications/"+app.ID+
		"/logs?until="+time.Now().UTC().Add(3*time.Second).Format(time.RFC3339), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token sim-cc-token")
	pushOK(t, s, app.ID, given())
	close(printed)
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		got = append(got, lines.Text())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"id:1\nevent:APPLICATION_LOG\ndata:{\"id\":\"1\",", `"message":"Successfully deployed in 0 minutes and 0 seconds"`, `"message":"hello from one"`, `"message":"half a line, the rest"`,
		"event:HEARTBEAT\ndata:{}", "event:END_OF_STREAM\ndata:{\"endedBy\":\"UNTIL_REACHED\"}",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if !strings.HasSuffix(s.Output(app.ID), "unfinished") {
		t.Errorf("output %q", s.Output(app.ID))
	}
}
