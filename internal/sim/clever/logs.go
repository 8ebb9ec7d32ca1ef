// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const heartbeat = 2 * time.Second // a client gives up after 4 s without any event

// logView is one line of an application's log.
type logView struct {
	ID            string    `json:"id"`
	Date          time.Time `json:"date"`
	Message       string    `json:"message"`
	ApplicationID string    `json:"applicationId"`
	DeploymentID  *string   `json:"deploymentId"`
	InstanceID    *string   `json:"instanceId"`
	CommitID      *string   `json:"commitId"`
	Service       string    `json:"service"`
	Severity      string    `json:"severity"`
	Priority      int       `json:"priority"`
	Facility      string    `json:"facility"`
	Version       int       `json:"version"`
	PID           *int      `json:"pid"`
	Zone          string    `json:"zone"`
	Region        string    `json:"region"`
}

// wanted is what a client asks to be sent of a log.
type wantedLog struct {
	zone         string // of the application
	next         int    // number of the first line
	since, until time.Time
	limit        int // 0 = none
	deployment   string
	instances    []string
	services     []string
	filter       string
}

func readWanted(q url.Values, last string) wantedLog {
	w := wantedLog{deployment: q.Get("deploymentId"), instances: q["instanceId"], services: q["service"], filter: q.Get("filter")}
	w.since, _ = time.Parse(time.RFC3339, q.Get("since"))
	w.until, _ = time.Parse(time.RFC3339, q.Get("until"))
	w.limit, _ = strconv.Atoi(q.Get("limit"))
	w.next, _ = strconv.Atoi(last)
	return w
}

func (w *wantedLog) has(l logLine) bool {
	service := l.service()
	switch {
	case l.at.Before(w.since), !w.until.IsZero() && l.at.After(w.until),
		w.deployment != "" && (l.of == nil || l.of.uuid != w.deployment),
		len(w.instances) > 0 && (l.of == nil || !slices.Contains(w.instances, l.of.instance)),
		len(w.services) > 0 && !slices.Contains(w.services, "all") && !slices.Contains(w.services, service):
		return false
	}
	return strings.Contains(l.text, w.filter)
}

// service is the part of the platform that a line comes from.
func (l logLine) service() string {
	if l.platform {
		return "bas-deploy"
	}
	return "bas"
}

func (l logLine) view(n int, a *application, zone string) logView {
	v := logView{
		ID: strconv.Itoa(n), Date: l.at, Message: l.text, ApplicationID: a.id, Service: l.service(),
		Severity: "info", Priority: 6, Facility: "user", Version: 1, Zone: zone, Region: zone,
	}
	if l.of != nil {
		v.DeploymentID, v.InstanceID, v.CommitID = &l.of.uuid, &l.of.instance, &l.of.commit
	}
	return v
}

// logs streams what an application's machines print as server-sent events.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	var how, zone string
	found, err := s.locked(s.withOrg(s.withApp(func(c *call) (any, error) {
		how, zone = s.world.Logs, c.app.spec.Zone
		return c.app, c.limited()
	})), s.newCall(r, nil))
	if err != nil {
		answer(w, r, nil, err)
		return
	}
	a, ok := found.(*application)
	if !ok {
		answer(w, r, nil, noSuchApp())
		return
	}
	wanted := readWanted(r.URL.Query(), r.Header.Get("Last-Event-ID"))
	wanted.zone = zone
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	stream := &events{w: w, to: http.NewResponseController(w)}
	stream.flush() // the client learns that it is connected
	switch how {
	case "silent":
		<-r.Context().Done()
	case "drop":
		stream.batch(a, &wanted)
		panic(http.ErrAbortHandler)
	default:
		if ended := stream.follow(r, a, &wanted); ended != "" && how != "no_end" {
			stream.send("", "END_OF_STREAM", map[string]string{"endedBy": ended})
		}
	}
}

// follow sends what is wanted until that is all or the client is gone. It gives the
// reason of the end, "" when the client is gone.
func (e *events) follow(r *http.Request, a *application, wanted *wantedLog) string {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for e.err == nil {
		more, enough := e.batch(a, wanted)
		if enough {
			return "LIMIT_REACHED"
		}
		if !wanted.until.IsZero() && now().After(wanted.until) {
			return "UNTIL_REACHED"
		}
		select {
		case <-r.Context().Done():
			return ""
		case <-more:
		case <-beat.C:
			e.send("", "HEARTBEAT", map[string]int{})
		}
	}
	return ""
}

// batch sends what is there. It gives a channel that is closed when there is more, and
// whether it was enough.
func (e *events) batch(a *application, wanted *wantedLog) (more <-chan struct{}, enough bool) {
	lines, after, more := a.output.from(wanted.next)
	wanted.next = after
	for i, l := range lines {
		if !wanted.has(l) {
			continue
		}
		n := after - len(lines) + i + 1
		e.send(strconv.Itoa(n), "APPLICATION_LOG", l.view(n, a, wanted.zone))
		if wanted.limit--; wanted.limit == 0 {
			return more, true
		}
	}
	return more, false
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
		e.flush()
	}
}

func (e *events) flush() { e.err = e.to.Flush() }
