// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// onEngine is a file with a local-docker runner; lines stand in its section from line 10 on.
func onEngine(lines string) string {
	return head + "[[runners]]\nname = \"a\"\nurl = \"https://h.example\"\ntoken = \"t\"\n" + lines + "executor = \"local-docker\"\n"
}

func TestDockerKeys(t *testing.T) {
	t.Parallel()
	cfg := mustRead(t, strings.Replace(onEngine("host = \"tcp://engine:2376\"\npaas_docker_cert_path = \"certs\"\npaas_docker_pull_policy = \"Always\"\npaas_docker_default_flavor = \"L\"\n")+
		"[runners.paas_docker_flavors.L]\nweight = 2.5\ncpus = 1.5\nmemory = \"2g\"\ncgroup_parent = \"ci.slice\"\n[runners.paas_docker_flavors.S]\nweight = 1\n[runners.docker]\nimage = \"x\"\n", `"M"`, `"S"`, 1))
	want := Docker{
		Host: "tcp://engine:2376", CertPath: "certs", PullPolicy: "always", DefaultFlavor: "L",
		Flavors: []DockerFlavor{{Name: "L", Weight: 2500, CPUs: 1.5, Memory: 2 << 30, CgroupParent: "ci.slice"}, {Name: "S", Weight: 1000}},
	}
	rc := cfg.Runners[0]
	if diff := gocmp.Diff(want, rc.Docker); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if id, token := rc.Payer(); id != "local-docker" || !token.Empty() || rc.DefaultFlavor() != "L" {
		t.Errorf("payer %s, default flavor %s", id, rc.DefaultFlavor())
	}
	if diff := gocmp.Diff("docker executor name url", strings.Join(sorted(maps.Keys(rc.Forward)), " ")); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
	want = Docker{PullPolicy: "if-not-present", DefaultFlavor: "M", Flavors: []DockerFlavor{{Name: "M", Weight: 1000}}}
	if diff := gocmp.Diff(want, mustRead(t, onEngine("")).Runners[0].Docker); diff != "" {
		t.Errorf("by default (-want +got):\n%s", diff)
	}
}

func TestDockerProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lines, want string }{
		{"host = \"npipe://x\"\n", `f:10: host: found "npipe://x", want unix:///PATH or tcp://HOST:PORT`},
		{"host = \"unix://x\"\n", `f:10: host: found "unix://x", want unix:///PATH or tcp://HOST:PORT`},
		{"host = \"tcp://u:CANARY@h:1\"\n", `f:10: host: found a text with @ in it, want unix:///PATH or tcp://HOST:PORT`},
		{"paas_docker_flavors = { L = { weight = 1 } }\npaas_docker_default_flavor = \"L\"\n", `f:4: reference_flavor: "M" is no flavor of runner "a"; there are: L`},
		{"paas_docker_default_flavor = \"L\"\n", `f:10: paas_docker_default_flavor: "L" is not defined; there are: M`},
		{"paas_docker_pull_policy = \"often\"\n", `f:10: paas_docker_pull_policy: found "often", want one of: if-not-present, always, never`},
		{"paas_docker_flavors = {}\n", "f:10: paas_docker_flavors: defines no flavor"},
		{"paas_docker_flavors = { M = 1 }\n", "f:10: M: found 1, want a table of a flavor's name, such as [runners.paas_docker_flavors.L]"},
		{"paas_docker_flavors = { M = { weight = 0 } }\n", "f:10: weight: found 0, want a number from 0.001 to 1000000"},
		{"paas_docker_flavors = { M = { cpus = 2 } }\n", "f:10: weight: missing; it says what an instance of flavor M counts against the quota"},
		{"paas_docker_flavors = { M = { weight = 1, memory = \"4t\" } }\n", `f:10: memory: found "4t", want an amount such as "512m" or "4g", at least 6m`},
		{"paas_docker_flavors = { M = { weight = 1, memory = \"5m\" } }\n", `f:10: memory: found "5m", want an amount such as "512m" or "4g", at least 6m`},
		{"paas_docker_flavors = { M = { weight = 1, memory = 4 } }\n", `f:10: memory: found 4, want a string: an amount such as "512m" or "4g", at least 6m`},
		{"paas_docker_flavors = { M = { weight = 1, memory = \"17179869185g\" } }\n", `f:10: memory: found "17179869185g", want an amount`}, // 1 GiB in 64 bits
		{"paas_docker_flavors = { M = { weight = \"1\" } }\n", "f:10: weight: found \"1\", want a number from 0.001 to 1000000, without quotes"},
		{"paas_docker_flavors = { \"a b\" = { weight = 1 } }\n", `f:10: a b: "a b" is no name of a flavor: want 1 to 40 letters`},
		{"limit = -1\npaas_docker_flavors = { M = { cpus = 2 } }\n", "f:11: weight: missing; it says what"},
		{"paas_docker_flavors = { M = { weight = 1, cpu = 3 } }\n", "f:10: cpu: unknown key, want one of: weight, cpus, memory, cgroup_parent"},
	} {
		t.Run(c.lines, func(t *testing.T) {
			t.Parallel()
			_, err := read(onEngine(c.lines))
			if err == nil || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, err := read("paas_relay_image = \"x\"\n" + onEngine("")); err == nil || !strings.Contains(err.Error(), "f:1: paas_relay_image: local-docker builds no image") {
		t.Errorf("relay image: %v", err)
	}
}
