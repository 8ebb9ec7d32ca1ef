// SPDX-License-Identifier: Apache-2.0

package onengine

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// neighbours says for each mode of the sub-runner whether a job's code reaches what another
// job runs on the same engine. docs/security.md tells of it.
func neighbours() []neighbour {
	return []neighbour{
		{"relay", "", false},
		{"exec-fetched-job", "", true},
		{"exec-fetched-job", "FF_NETWORK_PER_BUILD=true", false},
	}
}

type neighbour struct {
	mode, variable string
	reaches        bool
}

// looksAround: two jobs side by side; the code of one looks for the other's service.
func looksAround(t *testing.T, p *place) {
	for _, c := range neighbours() {
		if c.mode != p.mode {
			continue
		}
		t.Run(c.variable, func(t *testing.T) {
			t.Parallel()
			var variables []string
			if c.variable != "" {
				variables = append(variables, c.variable)
			}
			here, there := p.newStop(t), p.newStop(t)
			web := []gitlab.Image{{Name: "group/web:1", Alias: "web"}}
			one := p.queue(t, gitlab.Spec{Script: []string{here.line()}, Services: web}, variables...)
			two := p.queue(t, gitlab.Spec{Script: []string{there.line()}, Services: web}, variables...)
			here.wait(t, p, one)
			there.wait(t, p, two)
			own, other := p.address(t, one), p.address(t, two)
			build := p.of(t, one, "build")
			eventually(t, time.Minute, func() bool {
				_, code := p.Exec(t, build, "timeout", "3", "wget", "-q", "-O", "-", "http://"+own+"/")
				return code == 0
			}, func() string { return "the job's own service is not reached: the other look would prove nothing" })
			out, code := p.Exec(t, build, "timeout", "3", "wget", "-q", "-O", "-", "http://"+other+"/")
			if got := code == 0; got != c.reaches {
				t.Errorf("another job's service is reached: %v, want %v: %s", got, c.reaches, out)
			}
			if out, code := p.Exec(t, build, "sh", "-c", "ls /var/run/docker.sock /run/docker.sock /etc/heptapod-runner"); strings.Contains(out, "job.json") || code == 0 {
				t.Errorf("it finds what is not its own: %s", out)
			}
			here.release()
			there.release()
			p.ends(t, one, "success", "")
			p.ends(t, two, "success", "")
		})
	}
}

// address is that of a job's service.
func (p *place) address(t *testing.T, job int64) string {
	t.Helper()
	var c struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	p.Must(t, http.MethodGet, "/containers/"+p.of(t, job, "service")+"/json", nil, &c)
	for _, on := range c.NetworkSettings.Networks {
		return on.IPAddress
	}
	t.Fatal("the service is on no network")
	return ""
}

// The page tells of each mode.
func TestSecurityPageTellsOfNeighbours(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range neighbours() {
		row := "| `" + c.mode + "`"
		if c.variable != "" {
			row += " with `" + strings.Replace(c.variable, "=", ": ", 1) + "`"
		}
		row += map[bool]string{true: " | yes |", false: " | no |"}[c.reaches]
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/security.md has no row %q", row)
		}
	}
}
