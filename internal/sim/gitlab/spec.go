// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Spec is a job as posted to /_sim/jobs.
type Spec struct {
	Script         []string            `json:"script"`
	BeforeScript   []string            `json:"before_script"`
	AfterScript    []string            `json:"after_script"`
	Image          *Image              `json:"image"`
	Services       []Image             `json:"services"`
	Variables      map[string]Variable `json:"variables"`
	Artifacts      *Artifacts          `json:"artifacts"`
	Cache          []Cache             `json:"cache"`
	Hooks          map[string][]string `json:"hooks"`
	Payload        map[string]any      `json:"payload"`      // laid over the payload that is made of the rest
	Dependencies   []int64             `json:"dependencies"` // jobs to wait for and to get the artifacts of
	Git            bool                `json:"git"`          // else there is nothing to clone
	Project        string              `json:"project"`
	Tags           []string            `json:"tags"`
	Timeout        Seconds             `json:"timeout"` // 0 means an hour
	VirtualSeconds *float64            `json:"virtual_seconds"`
}

// Artifacts says what a job leaves behind.
type Artifacts struct {
	Paths     []string            `json:"paths"`
	Exclude   []string            `json:"exclude"`
	Untracked bool                `json:"untracked"`
	When      string              `json:"when"`
	ExpireIn  string              `json:"expire_in"`
	Reports   map[string][]string `json:"reports"` // paths by type, such as junit
}

// Cache is one cache of a job.
type Cache struct {
	Key          string   `json:"key"`
	Paths        []string `json:"paths"`
	Untracked    bool     `json:"untracked"`
	Policy       string   `json:"policy"`
	When         string   `json:"when"`
	FallbackKeys []string `json:"fallback_keys"`
}

// Image is an image or a service: a name, or an object.
type Image struct {
	Name       string   `json:"name"`
	Alias      string   `json:"alias"`
	Entrypoint []string `json:"entrypoint"`
	Command    []string `json:"command"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Image) UnmarshalJSON(text []byte) error {
	type object Image
	if err := textOr(text, &i.Name, (*object)(i)); err != nil {
		return fmt.Errorf("an image or service: %w", err)
	}
	if i.Name == "" {
		return errors.New("an image or service has no name")
	}
	return nil
}

// Variable is a variable of a job: a value, or an object.
type Variable struct {
	Value  string `json:"value"`
	File   bool   `json:"file"`
	Masked bool   `json:"masked"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Variable) UnmarshalJSON(text []byte) error {
	type object Variable
	if err := textOr(text, &v.Value, (*object)(v)); err != nil {
		return fmt.Errorf("a variable: %w", err)
	}
	return nil
}

// Seconds is a time in seconds, or a text like "90m".
type Seconds time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	if !bytes.HasPrefix(text, []byte{'"'}) {
		var n float64
		err := json.Unmarshal(text, &n)
		*s = Seconds(n * float64(time.Second))
		return err
	}
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	d, err := time.ParseDuration(written)
	*s = Seconds(d)
	return err
}

// textOr reads a JSON text, or else an object without unknown fields.
func textOr(text []byte, to *string, object any) error {
	if bytes.HasPrefix(text, []byte{'"'}) {
		return json.Unmarshal(text, to)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(object)
}

// complete fills in the defaults and refuses what makes no job.
func (s *Spec) complete() error {
	s.Project = cmp.Or(s.Project, "sim/demo")
	s.Timeout = cmp.Or(s.Timeout, Seconds(time.Hour))
	if len(s.Script) == 0 {
		return errors.New("script is missing or empty")
	}
	if time.Duration(s.Timeout) < time.Second {
		return fmt.Errorf("timeout is %v, want a second or more", time.Duration(s.Timeout))
	}
	if s.VirtualSeconds != nil && *s.VirtualSeconds < 0 {
		return fmt.Errorf("virtual_seconds is %v, want 0 or more", *s.VirtualSeconds)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)+$`).MatchString(s.Project) || strings.HasSuffix(s.Project, ".git") {
		return fmt.Errorf("project is %q, want a path like \"group/project\"", s.Project)
	}
	key := regexp.MustCompile(`^[A-Za-z_]\w*$`)
	for k := range s.Variables {
		if !key.MatchString(k) {
			return fmt.Errorf("variable %q can't be set in a shell", k)
		}
	}
	for name := range s.Hooks {
		if name != "pre_get_sources_script" && name != "post_get_sources_script" {
			return fmt.Errorf("hook %q: want pre_get_sources_script or post_get_sources_script", name)
		}
	}
	for i := range s.Cache {
		if err := s.Cache[i].complete(); err != nil {
			return err
		}
	}
	return s.Artifacts.complete()
}

func (a *Artifacts) complete() error {
	if a == nil {
		return nil
	}
	a.When = cmp.Or(a.When, "on_success")
	a.ExpireIn = cmp.Or(a.ExpireIn, "1 week")
	if len(a.Paths) == 0 && !a.Untracked && len(a.Reports) == 0 || !oneOf(a.When, "on_success", "on_failure", "always") {
		return errors.New("artifacts need paths, untracked or reports, and when is on_success, on_failure or always")
	}
	for kind, paths := range a.Reports {
		if _, ok := reportFormats()[kind]; !ok || len(paths) == 0 {
			return fmt.Errorf("report %q: want paths, and one of the types %s", kind, strings.Join(slices.Sorted(maps.Keys(reportFormats())), ", "))
		}
	}
	return nil
}

func (c *Cache) complete() error {
	c.Key, c.Policy, c.When = cmp.Or(c.Key, "default"), cmp.Or(c.Policy, "pull-push"), cmp.Or(c.When, "on_success")
	if len(c.Paths) == 0 && !c.Untracked || !oneOf(c.Policy, "pull-push", "pull", "push") || !oneOf(c.When, "on_success", "on_failure", "always") {
		return errors.New("a cache needs paths or untracked; policy is pull-push, pull or push; when is on_success, on_failure or always")
	}
	return nil
}

func oneOf(text string, allowed ...string) bool { return slices.Contains(allowed, text) }

// reportFormats are the types of report and how each is uploaded (GitLab,
// Ci::JobArtifact).
func reportFormats() map[string]string {
	return map[string]string{
		"junit": "gzip", "cobertura": "gzip", "dotenv": "gzip", "metrics": "gzip",
		"codequality": "raw", "sast": "raw", "secret_detection": "raw", "dependency_scanning": "raw",
		"container_scanning": "raw", "dast": "raw", "terraform": "raw", "performance": "raw",
	}
}

// root is the top-level group of a project.
func root(project string) string {
	name, _, _ := strings.Cut(project, "/")
	return name
}
