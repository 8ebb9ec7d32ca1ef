// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/secret"
)

// maxTimeout bounds runner_info.timeout, so that it fits a duration.
const maxTimeout = 366 * 24 * time.Hour

// Payload is a granted job: the bytes as they came, for the sub-runner, and the few
// things that the manager itself needs. It prints without its secrets.
type Payload struct {
	ID    int64
	Token secret.String
	Raw   []byte `json:"-"`

	Name          string // of the CI job
	Project       string // full path
	RootNamespace string // top-level group or user: who the tenant is
	NamespaceID   int64  // its id; 0 = not told
	WebURL        string // the job's page
	RepoURL       string // without the credential it came with
	Timeout       time.Duration

	Variables []Variable `json:"-"` // in the coordinator's order
}

// Variable is one CI variable. Its value may be a tenant's secret.
type Variable struct {
	Key    string
	Value  secret.String
	Public bool
	File   bool
	Masked bool
	Raw    bool
}

// Variable gives the value of a CI variable; of several the last one counts.
func (p *Payload) Variable(key string) (string, bool) {
	for _, v := range slices.Backward(p.Variables) {
		if v.Key == key {
			return v.Value.Reveal(), true
		}
	}
	return "", false
}

// Format implements fmt.Formatter: no verb shows tokens or variables.
func (p Payload) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "job %d of %s", p.ID, p.Project) }

// LogValue implements slog.LogValuer.
func (p Payload) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// payloadBody is the part of the coordinator's JSON that the manager reads. Unknown
// fields are left alone, null is taken for absent.
type payloadBody struct {
	ID      int64  `json:"id"`
	Token   string `json:"token"`
	JobInfo struct {
		Name            string `json:"name"`
		ProjectFullPath string `json:"project_full_path"`
		// RootNamespaceID is read as it comes: what is odd in it must not cost the job.
		RootNamespaceID json.RawMessage `json:"root_namespace_id"`
	} `json:"job_info"`
	GitInfo struct {
		RepoURL string `json:"repo_url"`
	} `json:"git_info"`
	RunnerInfo struct {
		Timeout int64 `json:"timeout"`
	} `json:"runner_info"`
	Variables []struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Public bool   `json:"public"`
		File   bool   `json:"file"`
		Masked bool   `json:"masked"`
		Raw    bool   `json:"raw"`
	} `json:"variables"`
}

// ParsePayload reads a granted job. Its error is an *UnreadableError when the job's
// id and token can be made out all the same. raw is kept, not copied.
func ParsePayload(raw []byte) (*Payload, error) {
	var body payloadBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, unreadable(raw, jsonFault(err))
	}
	if body.ID <= 0 || body.Token == "" {
		return nil, errors.New("the payload has no id and token")
	}
	p := &Payload{
		ID: body.ID, Token: secret.New(body.Token), Raw: raw,
		Name: body.JobInfo.Name, RepoURL: publicURL(body.GitInfo.RepoURL),
		Timeout: seconds64(body.RunnerInfo.Timeout),
	}
	for _, v := range body.Variables {
		p.Variables = append(p.Variables, Variable{
			Key: v.Key, Value: secret.New(v.Value),
			Public: v.Public, File: v.File, Masked: v.Masked, Raw: v.Raw,
		})
	}
	p.Project, p.RootNamespace = body.project(), body.root()
	p.NamespaceID, _ = digits(string(body.JobInfo.RootNamespaceID))
	page, _ := p.Variable("CI_JOB_URL")
	p.WebURL = publicURL(page)
	return p, nil
}

// unreadable looks for the top-level id and token in a body that can't be parsed,
// as far as it can be read.
func unreadable(raw []byte, reason string) error {
	if id, token, ok := scanIdentity(raw); ok {
		return &UnreadableError{ID: id, Token: secret.New(token), Reason: reason}
	}
	return errors.New("no id and token in it: " + reason)
}

func scanIdentity(raw []byte) (id int64, token string, ok bool) {
	start := bytes.IndexByte(raw, '{')
	if start < 0 {
		return 0, "", false
	}
	dec := json.NewDecoder(bytes.NewReader(raw[start:]))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return 0, "", false
	}
	for id == 0 || token == "" {
		key, err := dec.Token()
		if err != nil || key == json.Delim('}') {
			return 0, "", false
		}
		value, err := dec.Token()
		if err != nil {
			return 0, "", false
		}
		switch v := value.(type) {
		case json.Number:
			if n, plain := digits(v.String()); plain && key == "id" {
				id = n
			}
		case string:
			if key == "token" {
				token = v
			}
		case json.Delim:
			if !skip(dec) {
				return 0, "", false
			}
		}
	}
	return id, token, true
}

// skip reads to the end of the object or list that was just opened.
func skip(dec *json.Decoder) bool {
	for depth := 1; depth > 0; {
		t, err := dec.Token()
		if err != nil {
			return false
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return true
}

// jsonFault says what is wrong with JSON without quoting any of it.
func jsonFault(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(e.Value, " ")
		return fmt.Sprintf("%s is a %s", e.Field, kind)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON at byte %d", e.Offset)
	}
	return "not JSON"
}

// publicURL drops what may be a credential; a URL that can't be read is none.
func publicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

func seconds64(n int64) time.Duration {
	if n <= 0 {
		return 0
	}
	return time.Duration(min(n, int64(maxTimeout/time.Second))) * time.Second
}
