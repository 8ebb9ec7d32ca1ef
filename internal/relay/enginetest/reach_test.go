// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// reach is what the job's own code looks for outside its container. The page tells of each
// what it finds.
type reach struct {
	what string
	find string // a shell command that succeeds when it is found
}

// reaches is the second table of docs/security.md; {…} is filled in.
var reaches = []reach{
	{"the engine's socket", "test -e /var/run/docker.sock || test -e /run/docker.sock"},
	{"what the instance was given: job, configuration, relay", "ls /etc/heptapod-runner/* /usr/local/bin/paas-relay"},
	{"processes of the sub-runner and the relay", "grep -l -e paas-relay -e gitlab-runner -e run-single /proc/[0-9]*/comm"},
	{"the stand-in token in an environment", "cat /proc/[0-9]*/environ | grep -F {STANDIN}"},
	{"the relay of another job on the same engine", "nc -w 3 {OTHERHOST} {OTHERPORT} </dev/null"},
	{"the relay by its address on the default bridge", "nc -w 3 {BRIDGE} {PORT} </dev/null"},
}

// jobReaches: the job's own code looks around from its container while its script runs,
// beside another job.
func jobReaches(t *testing.T, w *place) {
	here, there := w.newStop(t), w.newStop(t)
	i, other := w.boot(t, trivial(here.line()), wish{}), w.boot(t, trivial(there.line()), wish{})
	here.wait(t, i)
	there.wait(t, other)
	host, port, err := net.SplitHostPort(i.address(t))
	if err != nil {
		t.Fatal(err)
	}
	otherHost, otherPort, err := net.SplitHostPort(other.address(t))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := i.Exec(t, i.id, "sed", "-n", `s/^ *token = "\(.*\)"/\1/p`, "/etc/heptapod-runner/runner-relay.toml")
	fill := strings.NewReplacer(
		"{STANDIN}", strings.TrimSpace(text), "{OTHERHOST}", otherHost, "{OTHERPORT}", otherPort, "{BRIDGE}", i.bridgeAddress(t), "{PORT}", port,
	)
	build := i.container(t, "build")
	if out, code := i.Exec(t, build, "sh", "-c", "nc -w 3 "+host+" "+port+" </dev/null"); code != 0 {
		t.Fatalf("the job's own relay is not reached: the other looks would prove nothing: %s", out)
	}
	for _, r := range reaches {
		if out, code := i.Exec(t, build, "sh", "-c", fill.Replace(r.find)); code == 0 {
			t.Errorf("the job's code finds %s: %s", r.what, out)
		}
	}
	here.release()
	there.release()
	i.succeed(t)
	other.succeed(t)
}

// bridgeAddress is the relay's container's on the engine's default bridge.
func (i *instance) bridgeAddress(t *testing.T) string {
	t.Helper()
	var c struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	i.Must(t, http.MethodGet, "/containers/"+i.id+"/json", nil, &c)
	address := c.NetworkSettings.Networks["bridge"].IPAddress
	if address == "" {
		t.Fatal("the relay's container has no address on the default bridge")
	}
	return address
}

func TestSecurityPageTellsWhatAJobFinds(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reaches {
		if !strings.Contains(string(page), "| "+r.what+" | no |") {
			t.Errorf("docs/security.md does not tell of %q", r.what)
		}
	}
}
