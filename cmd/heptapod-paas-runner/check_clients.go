// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/manager"
)

// checkClients makes what the service talks to coordinators and clouds with, which asks
// nobody: certificates are read, and addresses must make sense.
func checkClients(path string, cfg *config.Config) []string {
	clients := manager.Clients{Version: version(), Jitter: func() float64 { return 0 }}
	var problems []string
	for _, rc := range cfg.Runners {
		_, err := clients.Coordinator(rc)
		_, err2 := clients.Provisioner(rc)
		for _, err := range []error{err, err2} {
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: runner %q: %v", path, rc.Line, rc.Name, err))
			}
		}
	}
	return problems
}
