// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, text string, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
}

// networkOfTheJob looks at the job's network while the job runs, and at the order in
// which it is taken down.
func networkOfTheJob(t *testing.T, w *place) {
	begun := time.Now()
	at := w.newStop(t)
	i := w.boot(t, trivial("cat /sys/class/net/eth0/mtu", at.line()), wish{})
	at.wait(t, i)
	n := i.network(t)
	if n.Name <= "bridge" || !strings.Contains(n.Name, i.key) {
		t.Errorf("it is called %s: want the job's key in it, sorted after bridge", n.Name)
	}
	if diff := cmp.Diff(map[string]string{keyLabel: i.key, ownLabel: i.id}, n.Labels); diff != "" {
		t.Errorf("labels: %s", diff)
	}
	if mtu := n.Options["com.docker.network.driver.mtu"]; mtu != "1450" {
		t.Errorf("MTU %q, want the default bridge's", mtu)
	}
	ip, port, _ := net.SplitHostPort(i.address(t))
	if got, _, _ := strings.Cut(n.Containers[i.id].IPv4Address, "/"); got != ip {
		t.Errorf("the sub-runner's url names %s, the relay's address on the network is %s", ip, got)
	}
	i.defaultRoute(t, w.Gateway(t))
	i.listens(t, ip)
	i.unreachable(t, port)

	build := i.container(t, "build")
	at.release()
	if j := i.succeed(t); !strings.Contains(j.Trace, "1450") {
		t.Errorf("the job's container has another MTU:\n%s", j.Trace)
	}
	events := w.events(t, begun, named(map[string]string{"network": n.ID, "relay": i.id, "build": build}))
	order := slices.DeleteFunc(slices.Compact(slices.Clone(events)), func(e string) bool {
		return !slices.Contains([]string{"container destroy [build]", "network disconnect [network] [relay]", "network destroy [network]"}, e)
	})
	want := []string{"container destroy [build]", "network disconnect [network] [relay]", "network destroy [network]"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("taken down in this order (-want +got): %s\nall: %q", diff, events)
	}
}

// defaultRoute: joining the job's network does not move the way out.
func (i *instance) defaultRoute(t *testing.T, gateway string) {
	t.Helper()
	text, _ := i.Exec(t, i.id, "ip", "route")
	if !strings.Contains(text, "default via "+gateway+" ") || strings.Count(text, "default") != 1 {
		t.Errorf("the relay's routes, want the one to %s to be the default:\n%s", gateway, text)
	}
}

// listens: the relay listens on one address, which is not every address.
func (i *instance) listens(t *testing.T, ip string) {
	t.Helper()
	text, _ := i.Exec(t, i.id, "netstat", "-ltn")
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^tcp6?\s+\d+\s+\d+\s+(\S+):\d+\s`).FindAllStringSubmatch(text, -1) {
		if m[1] != "127.0.0.11" { // Docker's own DNS
			got = append(got, m[1])
		}
	}
	if diff := cmp.Diff([]string{ip}, got); diff != "" {
		t.Errorf("listens on (-want +got): %s\n%s", diff, text)
	}
}

// unreachable: containers on the default bridge reach the relay on neither address.
func (i *instance) unreachable(t *testing.T, port string) {
	t.Helper()
	var me struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	i.Must(t, http.MethodGet, "/containers/"+i.id+"/json", nil, &me)
	if len(me.NetworkSettings.Networks) != 2 {
		t.Errorf("the relay is on %v, want two networks", me.NetworkSettings.Networks)
	}
	strangers := map[string]string{}
	for name, on := range me.NetworkSettings.Networks {
		strangers[name] = i.Run(t, "", map[string]any{"Image": "job:1", "Cmd": []string{
			"sibling", "ask", net.JoinHostPort(on.IPAddress, port), "GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
		}})
	}
	for name, stranger := range strangers {
		i.Wait(t, stranger)
		if got := strings.TrimSpace(i.Output(t, stranger)); got != "no connection" {
			t.Errorf("a stranger asks the relay on %s: %s, want no connection", name, got)
		}
		i.Remove(t, stranger)
	}
}

func subnet(t *testing.T, w *place) {
	at := w.newStop(t)
	i := w.boot(t, trivial(at.line()), wish{subnet: "10.99.7.0/24"})
	at.wait(t, i)
	if n := i.network(t); len(n.IPAM.Config) != 1 || n.IPAM.Config[0].Subnet != "10.99.7.0/24" {
		t.Errorf("subnet %v", n.IPAM.Config)
	}
	if address := i.address(t); !strings.HasPrefix(address, "10.99.7.") {
		t.Errorf("address %s", address)
	}
	// The same subnet again can't be had meanwhile.
	w.boot(t, trivial(), wish{subnet: "10.99.7.0/24"}).fails(t, "The instance could not be made ready: make the job's network: ")
	at.release()
	i.succeed(t)
}

// startedElsewhere: the relay's container is on a network of the platform's, whose name
// sorts late.
func startedElsewhere(t *testing.T, w *place) {
	var made struct {
		ID string `json:"Id"`
	}
	w.Must(t, http.MethodPost, "/networks/create", map[string]any{"Name": "zzz-platform"}, &made)
	var platform struct {
		IPAM struct{ Config []struct{ Gateway string } }
	}
	w.Must(t, http.MethodGet, "/networks/"+made.ID, nil, &platform)
	at := w.newStop(t)
	i := w.boot(t, trivial(at.line()), wish{host: map[string]any{"NetworkMode": "zzz-platform"}})
	at.wait(t, i)
	if n := i.network(t); n.Name <= "zzz-platform" {
		t.Errorf("it is called %s", n.Name)
	}
	gateway, _, _ := strings.Cut(platform.IPAM.Config[0].Gateway, "/")
	i.defaultRoute(t, gateway)
	at.release()
	i.succeed(t)
	w.Remove(t, i.id)
	w.Must(t, http.MethodDelete, "/networks/"+made.ID, nil, nil)
}

func hostNetwork(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{host: map[string]any{"NetworkMode": "host"}}).fails(t, "this container shares the host's network")
}

func hostnameOverridden(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{config: map[string]any{"Hostname": "of-the-platform"}}).succeed(t)
}

// hidden covers the files by whose mounts a container's id is known.
func (w *place) hidden(t *testing.T) []string {
	t.Helper()
	binds := []string{w.Socket + ":/var/run/docker.sock"}
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		path := filepath.Join(filepath.Dir(w.Socket), "own-"+name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		binds = append(binds, path+":/etc/"+name)
	}
	return binds
}

func idByControlGroup(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{
		config: map[string]any{"Hostname": "of-the-platform"}, host: map[string]any{"Binds": w.hidden(t), "CgroupnsMode": "host"},
	}).succeed(t)
}

func idByHostname(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{host: map[string]any{"Binds": w.hidden(t), "CgroupnsMode": "private"}}).succeed(t)
}
