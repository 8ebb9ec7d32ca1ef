// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"time"

	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/manager"
)

// dockerRows are the keys of the executor local-docker, as far as they are seen without an
// engine: in what is made of them.
func dockerRows() map[string]keyRow {
	engine := func(lines string) func(string) string {
		return func(text string) string {
			return at("runner", lines)(strings.Replace(text, "clever-docker", "local-docker", 1))
		}
	}
	// shown is what the service's own provisioner shows of the keys.
	shown := func(s *scene) string {
		if s.err != nil {
			return refusal(s)
		}
		prov, err := manager.Clients{Jitter: func() float64 { return 0 }}.Provisioner(s.cfg.Runners[0])
		if err != nil {
			return err.Error()
		}
		if name := prov.Describe().Name; name != "docker" {
			return name
		}
		flavors, err := prov.Flavors(s.t.Context())
		if err != nil {
			return err.Error()
		}
		d := s.cfg.Runners[0].Docker
		note := ""
		if strings.Contains(strings.Join(s.cfg.Warnings, ""), "paas_docker_cert_path: has no effect with a unix socket") {
			note = ", no certificate is used"
		}
		return fmt.Sprint(prov.Describe().Zone, " ", d.PullPolicy, " ", s.cfg.Runners[0].DefaultFlavor(), " ", len(flavors), flavors[0].Weight, note)
	}
	row := func(lines, is string) keyRow {
		return keyRow{with: engine(lines), play: func(*scene) { time.Sleep(time.Second) }, see: shown, was: "clever", is: is}
	}
	const host = "host = \"unix:///nowhere\"\n"
	return map[string]keyRow{
		"runners/host":                       row(host, "unix:///nowhere "+docker.PullMissing+" M 1 1"),
		"runners/paas_docker_pull_policy":    row(host+`paas_docker_pull_policy = "never"`, "unix:///nowhere never M 1 1"),
		"runners/paas_docker_default_flavor": row(host+`paas_docker_default_flavor = "L"`+"\n"+`paas_docker_flavors = { L = { weight = 2 }, M = { weight = 1 } }`, "unix:///nowhere if-not-present L 2 1"),
		"runners/paas_docker_flavors":        row(host+`paas_docker_flavors = { M = { weight = 3 } }`, "unix:///nowhere if-not-present M 1 3"),
		"runners/paas_docker_cert_path":      row(host+`paas_docker_cert_path = "certs"`, "unix:///nowhere if-not-present M 1 1, no certificate is used"),
	}
}
