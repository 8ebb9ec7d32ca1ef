// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const heartbeat = 2 * time.Second // a client gives up after 4 s without any event

// logView is one line of an application's log.
type logView struct {
	ID            string    `json:"id"`
	Date          time.Time `json:"date"`
	Message       string    `json:"message"`
	ApplicationID string    `json:"applicationId"`
	Service       string    `json:"service"`
	Severity      string    `json:"severity"`
	Zone          string    `json:"zone"`
}

// logs streams what an application's machines print as server-sent events.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	found, err := s.locked(s.withOrg(s.withApp(func(c *call) (any, error) { return c.app, nil })), &call{r: r, now: now()})
	if err != nil {
		answer(w, 0, nil, err)
		return
	}
	a, ok := found.(*application)
	if !ok {
		answer(w, 0, nil, noSuchApp())
		return
	}
	q := r.URL.Query()
	since, _ := time.Parse(time.RFC3339, q.Get("since"))
	until, _ := time.Parse(time.RFC3339, q.Get("until"))
	next, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	stream := events{w: w, to: http.NewResponseController(w)}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for stream.err == nil {
		lines, after, more := a.output.from(next)
		for i, l := range lines {
			if !l.at.Before(since) {
				n := after - len(lines) + i + 1
				stream.send(strconv.Itoa(n), "APPLICATION_LOG", logView{
					ID: strconv.Itoa(n), Date: l.at, Message: l.text, ApplicationID: a.id, Service: "bas",
					Severity: "info", Zone: a.spec.Zone,
				})
			}
		}
		next = after
		if !until.IsZero() && now().After(until) {
			stream.send("", "END_OF_STREAM", map[string]string{"endedBy": "UNTIL_REACHED"})
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-beat.C:
			stream.send("", "HEARTBEAT", map[string]int{})
		}
	}
}

// events writes server-sent events and remembers the first error.
type events struct {
	w   http.ResponseWriter
	to  *http.ResponseController
	err error
}

func (e *events) send(id, event string, data any) {
	raw, err := json.Marshal(data)
	if e.err != nil || err != nil {
		return
	}
	if id != "" {
		id = "id:" + id + "\n"
	}
	if _, e.err = fmt.Fprintf(e.w, "%sevent:%s\ndata:%s\n\n", id, event, raw); e.err == nil {
		e.err = e.to.Flush()
	}
}
