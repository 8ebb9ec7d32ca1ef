// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/fleet"
)

// Sizing is what a runner allows its jobs to ask for.
type Sizing struct {
	Flavors  []fleet.Flavor // what the infrastructure offers
	Default  string         // when the job does not say
	Max      string         // the largest allowed; "" = all
	Allowed  []string       // those that are allowed, as far as Max allows them too; none = all
	Variable string         // the job variable that asks, for the message
}

// RefusedError says why a job cannot get the flavor it asks for. Its text is meant
// for the job's log.
type RefusedError struct {
	Asked   string
	Problem string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Problem }

// Size picks the flavor of a job: the one asked for, else the default. quota is the
// whole quota: what is heavier than that can never run.
func Size(s Sizing, asked string, quota fleet.Weight) (fleet.Flavor, error) {
	name := asked
	if name == "" {
		name = s.Default
	}
	var found fleet.Flavor
	for _, f := range s.Flavors {
		if f.Name == name {
			found = f
		}
	}
	subject := "flavor"
	if asked == "" {
		subject = "this runner's default flavor"
	}
	limit, limited := s.limit()
	switch {
	case found.Name == "":
		return found, &RefusedError{name, fmt.Sprintf(
			"%s %q is not available. Set %s to one of: %s.", subject, name, s.Variable, s.list(quota))}
	case limited && found.Weight > limit:
		though := ""
		if slices.Contains(s.Allowed, name) {
			though = ", though it is in the list of its flavors"
		}
		return found, &RefusedError{name, fmt.Sprintf(
			"%s %s is larger than this runner allows (at most %s)%s. Set %s to one of: %s; or use another runner.",
			subject, name, s.Max, though, s.Variable, s.list(quota))}
	case !s.listed(name):
		return found, &RefusedError{name, fmt.Sprintf(
			"%s %s is not one that this runner allows. Set %s to one of: %s; or use another runner.",
			subject, name, s.Variable, s.list(quota))}
	case found.Weight > quota:
		return found, &RefusedError{name, fmt.Sprintf(
			"%s %s weighs %s, more than the whole quota of this service (%s): it can never run here. Set %s to one of: %s.",
			subject, name, found.Weight, quota, s.Variable, s.list(quota))}
	}
	return found, nil
}

// listed tells whether the explicit list, when there is one, holds a flavor.
func (s Sizing) listed(name string) bool {
	return len(s.Allowed) == 0 || slices.Contains(s.Allowed, name)
}

// Bounds gives the weights of the smallest and the largest flavor that a job of
// this runner may get under the quota. ok is false when there is none at all.
func Bounds(s Sizing, quota fleet.Weight) (smallest, largest fleet.Weight, ok bool) {
	for _, f := range s.allowed(quota) {
		if !ok || f.Weight < smallest {
			smallest = f.Weight
		}
		if !ok || f.Weight > largest {
			largest = f.Weight
		}
		ok = true
	}
	return smallest, largest, ok
}

// limit gives the weight of the largest allowed flavor; false when all are allowed.
// A maximum that the infrastructure does not offer allows nothing.
func (s Sizing) limit() (fleet.Weight, bool) {
	if s.Max == "" {
		return 0, false
	}
	for _, f := range s.Flavors {
		if f.Name == s.Max {
			return f.Weight, true
		}
	}
	return 0, true
}

func (s Sizing) allowed(quota fleet.Weight) []fleet.Flavor {
	limit, limited := s.limit()
	var out []fleet.Flavor
	for _, f := range s.Flavors {
		if f.Weight <= quota && s.listed(f.Name) && (!limited || f.Weight <= limit) {
			out = append(out, f)
		}
	}
	return out
}

func (s Sizing) list(quota fleet.Weight) string {
	var names []string
	for _, f := range s.allowed(quota) {
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return "(none)"
	}
	return strings.Join(names, ", ")
}
