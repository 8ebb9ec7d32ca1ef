// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
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

// metadataAddress is where clouds tell a machine about itself.
const metadataAddress = "169.254.169.254"

// metadataScript makes a computer of that address that the engine's host reaches: a network
// namespace with a server, at the other end of a wire. It ends with its standard input.
const metadataScript = `set -e
unshare -n sh -c 'ip link set lo up; exec busybox nc -ll -p 80 -e echo credentials' &
there=$!
trap 'kill $there' EXIT
until [ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add meta0 type veth peer name meta1 netns $there
ip addr add 169.254.169.1/24 dev meta0
ip link set meta0 up
nsenter -t $there -n ip addr add 169.254.169.254/24 dev meta1
nsenter -t $there -n ip link set meta1 up
echo ready
cat
`

// metadataService gives the engine's host a neighbour of that address.
func metadataService(t *testing.T, w *place) {
	t.Helper()
	cmd := exec.Command("sh", "-c", metadataScript)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Inside(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the computer says %q, %v", line, err)
	}
}

// blockRule is what the page advises.
const blockRule = "iptables -I DOCKER-USER -d " + metadataAddress + " -j REJECT"

// metadata: the job's code asks the cloud that the engine's computer is on. Nothing keeps it
// from that, but the operator's rule.
func metadata(t *testing.T, w *place) {
	metadataService(t, w)
	at := w.newStop(t)
	i := w.boot(t, trivial(at.line()), wish{})
	at.wait(t, i)
	build := i.container(t, "build")
	look := func() bool {
		out, _ := i.Exec(t, build, "sh", "-c", "nc -w 3 "+metadataAddress+" 80 </dev/null")
		return strings.Contains(out, "credentials")
	}
	eventually(t, look, func() string { return "the job does not reach the metadata address, while the page says so" })
	rule := exec.Command("sh", "-c", blockRule)
	if err := errors.Join(w.Inside(rule), rule.Wait()); err != nil {
		t.Fatal(err)
	}
	if look() {
		t.Error("the rule of the page does not help")
	}
	at.release()
	i.succeed(t)
	page, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| the metadata address of the cloud that the engine's computer is on (169.254.169.254) | **yes** |", blockRule} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/security.md does not say %q", want)
		}
	}
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
