// SPDX-License-Identifier: Apache-2.0

package subrunner_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/sim/subrunner"
)

// tap notes what goes over the wire.
type tap struct {
	next  http.RoundTripper
	lines []string
}

func (w *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	keys := ""
	var object map[string]any
	if json.Unmarshal(raw, &object) == nil {
		keys = " " + strings.Join(slices.Sorted(maps.Keys(object)), ",")
	}
	headers := slices.Sorted(maps.Keys(r.Header))
	w.lines = append(w.lines, r.Method+" "+r.URL.RequestURI()+" "+strings.Join(headers, ",")+keys)
	return w.next.RoundTrip(r)
}

// The requests of one failing job, by their headers and keys, as gitlab-runner
// 17.9.0 was seen to send them.
func TestSpeaksLikeGitlabRunner(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.queue(gitlab.Spec{Script: []string{"exit 3"}, VirtualSeconds: virtualFor(1)})
		o := b.options()
		w := &tap{next: o.Transport}
		o.Transport = w
		if err := subrunner.RunSingle(b.t.Context(), o); err != nil {
			t.Error(err)
		}
		want := []string{
			"POST /api/v4/jobs/request Accept,Content-Type,Private-Token,User-Agent info,system_id,token",
			"PATCH /api/v4/jobs/100001/trace?debug_trace=false Content-Range,Content-Type,Job-Token,User-Agent",
			"PUT /api/v4/jobs/100001 Content-Type,Private-Token,User-Agent checksum,exit_code,failure_reason,info,output,state,token",
		}
		if diff := cmp.Diff(want, w.lines); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if agent := b.s.Panel().Requests()[0].UserAgent; !strings.HasPrefix(agent, "gitlab-runner 17.9.0 (v17.9.0; go") {
			t.Errorf("User-Agent %q", agent)
		}
	})
}
