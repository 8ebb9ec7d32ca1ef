// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
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
	Dependencies   []int64             `json:"dependencies"` // jobs to wait for and to get the artifacts of
	Git            bool                `json:"git"`          // else there is nothing to clone
	Project        string              `json:"project"`
	Tags           []string            `json:"tags"`
	Timeout        Seconds             `json:"timeout"` // 0 means an hour
	VirtualSeconds *float64            `json:"virtual_seconds"`
}

// Artifacts says what a job leaves behind.
type Artifacts struct {
	Paths []string `json:"paths"`
	When  string   `json:"when"`
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
	if a := s.Artifacts; a != nil {
		a.When = cmp.Or(a.When, "on_success")
		if len(a.Paths) == 0 || a.When != "on_success" && a.When != "on_failure" && a.When != "always" {
			return errors.New("artifacts need paths, and when is on_success, on_failure or always")
		}
	}
	return nil
}

// root is the top-level group of a project.
func root(project string) string {
	name, _, _ := strings.Cut(project, "/")
	return name
}
