// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"fmt"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
)

// unavailable tells which flavor of the configuration a runner's platform does not offer; ""
// when it offers them all. Only the platform knows: check without --online can but warn.
func (m *Manager) unavailable(rc config.Runner, flavors []fleet.Flavor) string {
	var all []string
	for _, f := range flavors {
		all = append(all, f.Name)
	}
	switch {
	case rc.Name == m.cfg.Quota.ReferenceRunner && !slices.Contains(all, m.cfg.Quota.ReferenceFlavor):
		return fmt.Sprintf("reference_flavor %q of [quota_computation] is not available, and without the quota no runner asks for jobs; there are: %s",
			m.cfg.Quota.ReferenceFlavor, strings.Join(all, ", "))
	case !slices.Contains(all, rc.DefaultFlavor()):
		return fmt.Sprintf("the default flavor %q is not available: jobs that do not choose one fail; there are: %s", rc.DefaultFlavor(), strings.Join(all, ", "))
	}
	return ""
}

// quotaless says why there is no quota.
func (m *Manager) quotaless() string {
	for _, r := range m.runners {
		if r.cfg.Name == m.cfg.Quota.ReferenceRunner && len(r.flavors) > 0 {
			return "there is no quota: " + m.unavailable(r.cfg, r.flavors)
		}
	}
	return "the quota is not known yet: the reference runner's flavors are missing"
}
