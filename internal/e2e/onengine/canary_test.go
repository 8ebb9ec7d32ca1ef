// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// standIn finds the token by which the sub-runner is configured.
var standIn = regexp.MustCompile(`token = "([^"]+)"`)

// keepsSecrets: what everybody who may ask the engine is shown of a running job. The job's own
// containers have the job's variables and token, as with every Runner; nothing else holds any, and no
// token of the runner, nor what stands in for it, is anywhere.
func keepsSecrets(t *testing.T, p *place) {
	at := p.newStop(t)
	const variable = "CANARY-variable"
	job := p.queue(t, gitlab.Spec{Script: []string{at.line()}, Services: []gitlab.Image{{Name: "group/web:1", Alias: "web"}}}, "SHOWN="+variable)
	at.wait(t, p, job)
	instance := p.instance(t, job)
	folder, code := p.Exec(t, instance, "sh", "-c", "cat /etc/heptapod-runner/*.toml /etc/heptapod-runner/*.json")
	found := standIn.FindStringSubmatch(folder)
	if code != 0 || found == nil || !strings.Contains(folder, variable) || !strings.Contains(folder, "glcbt-") {
		t.Fatalf("the instance has no token and no job: there is nothing to look for\n%s", folder)
	}
	if !strings.HasPrefix(found[1], p.token[:9]) || strings.Contains(folder, p.token) {
		t.Errorf("the instance was given another token than a stand-in: %.12s", found[1])
	}
	hidden := []string{p.token, found[1]}
	ofJob := append([]string{variable, "glcbt-"}, hidden...)
	for what, secrets := range map[string][]string{
		"/containers/" + instance + "/json":                         ofJob,
		"/containers/" + instance + "/top?ps_args=-eo%20pid,args":   ofJob,
		"/containers/" + instance + "/logs?stdout=true&stderr=true": ofJob,
		"/containers/" + p.of(t, job, "build") + "/json":            hidden,
		"/containers/" + p.of(t, job, "service") + "/json":          hidden,
		"/containers/json?all=true":                                 hidden, // helpers of gitlab-runner are told the token of their job
		"/networks":                                                 ofJob,
		"/volumes":                                                  ofJob,
		"/images/json?all=true":                                     ofJob,
		"/images/runner:1/history":                                  ofJob,
		"/info":                                                     ofJob,
	} {
		var raw []byte
		p.Must(t, http.MethodGet, what, nil, &raw)
		for _, secret := range secrets {
			if i := strings.Index(string(raw), secret); i >= 0 {
				t.Errorf("I7: %s holds %q: …%s…", what, secret, raw[max(0, i-80):min(len(raw), i+40)])
			}
		}
		if what == "/containers/"+instance+"/json" && !json.Valid(raw) {
			t.Errorf("%s: %s", what, raw)
		}
	}
	for _, secret := range ofJob {
		if secret != variable && strings.Contains(p.says(), secret) {
			t.Errorf("I7: the log holds %q", secret)
		}
	}
	at.release()
	p.ends(t, job, "success", "")
}
