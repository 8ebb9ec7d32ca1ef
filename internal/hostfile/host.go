// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// The two ways in which a sub-runner is run on the instance.
const (
	ModeRelay          = "relay"
	ModeExecFetchedJob = "exec-fetched-job"
)

// Names of the files, as pushed and in Folder on the instance.
const (
	Folder         = "/etc/heptapod-runner/"
	JobFile        = "job.json"
	RunnerFile     = "runner.toml"
	RelayFile      = "relay.json"
	RelayBinary    = "paas-relay"
	CAFile         = "coordinator-ca.pem"
	ClientCertFile = "client-cert.pem"
	ClientKeyFile  = "client-key.pem"
)

// Host is everything that decides what one instance is given.
type Host struct {
	Mode      string // ModeRelay or ModeExecFetchedJob
	MainImage string // the image that holds the sub-runner

	// The relay comes either as a binary among the files or out of an image, in
	// which it lies at /paas-relay. Not used with ModeExecFetchedJob.
	RelayBinary []byte
	RelayImage  string

	RunnerName string
	Forward    map[string]any // the [[runners]] section to hand on; not changed

	Coordinator    string // normalised: the base URL that the relay talks to
	CoordinatorURL string // as the operator wrote it; for ModeExecFetchedJob
	Payload        []byte // the job as granted
	KeepImages     bool   // leave image names as they are: no Dependency Proxy
	JobID          int64
	Git            bool // the job's repository is a Git one

	Key          string
	StandIn      secret.String // in place of the runner's token
	NoticeURL    string        // whole URL of the manager's notice endpoint; "" = no notices
	NoticeBearer secret.String

	PrefixBytes int64 // of the trace, written by the manager
	PrefixCRC32 uint32
	AcquiredAt  time.Time
	Timeout     time.Duration
	PhaseNote   string // a line for the relay to begin its own part of the trace with; usually ""
	RelaySubnet string // of the job's network; "" = Docker chooses
	// Docker is laid over the forwarded [runners.docker], tables in it over the tables
	// there: what the infrastructure must insist on.
	Docker map[string]any

	CA         []byte // PEM, to trust the coordinator with
	ClientCert []byte // PEM, to show to the coordinator
	ClientKey  []byte
}

// Render gives the files to push, in the order of their names' importance: the
// Dockerfile first. An error means that the input can never be rendered.
func Render(h Host) ([]fleet.File, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("render files of job %d: %w", h.JobID, err)
	}
	job := h.Payload
	if !h.KeepImages {
		rewritten, err := rewriteImages(h.Payload)
		if err != nil {
			return nil, fmt.Errorf("render %s of job %d: %w", JobFile, h.JobID, err)
		}
		job = rewritten
	}
	section, err := runnerTOML(h)
	if err != nil {
		return nil, fmt.Errorf("render %s of job %d: %w", RunnerFile, h.JobID, err)
	}
	files := []fleet.File{
		{Path: "Dockerfile", Data: dockerfile(h)},
		{Path: RunnerFile, Data: section},
		{Path: JobFile, Data: job},
	}
	if h.Mode == ModeRelay {
		instructions, err := relayJSON(h)
		if err != nil {
			return nil, fmt.Errorf("render %s of job %d: %w", RelayFile, h.JobID, err)
		}
		files = append(files, fleet.File{Path: RelayFile, Data: instructions})
	}
	for _, f := range h.tlsFiles() {
		files = append(files, fleet.File{Path: f.name, Data: f.data})
	}
	if h.Mode == ModeRelay && h.RelayImage == "" {
		files = append(files, fleet.File{Path: RelayBinary, Data: h.RelayBinary, Executable: true})
	}
	return files, nil
}

func (h Host) check() error {
	var problems []error
	if h.Mode != ModeRelay && h.Mode != ModeExecFetchedJob {
		problems = append(problems, fmt.Errorf("sub_runner %q: want %q or %q", h.Mode, ModeRelay, ModeExecFetchedJob))
	}
	if err := fleet.CheckImage(h.MainImage); err != nil {
		problems = append(problems, fmt.Errorf("main image: %w", err))
	}
	if h.Mode == ModeRelay && h.RelayImage != "" {
		if err := fleet.CheckImage(h.RelayImage); err != nil {
			problems = append(problems, fmt.Errorf("relay image: %w", err))
		}
	}
	if h.Mode == ModeRelay && h.RelayImage == "" && len(h.RelayBinary) == 0 {
		problems = append(problems, errors.New("neither a relay binary nor a relay image"))
	}
	if h.RunnerName == "" || !utf8.ValidString(h.RunnerName) || strings.ContainsFunc(h.RunnerName, unicode.IsControl) {
		problems = append(problems, fmt.Errorf("runner name %q: want printable text", h.RunnerName))
	}
	if h.StandIn.Empty() {
		problems = append(problems, errors.New("the stand-in token is empty"))
	}
	if _, err := fleet.NormalizeURL(h.Coordinator); err != nil {
		problems = append(problems, err)
	}
	if !json.Valid(h.Payload) {
		problems = append(problems, errors.New("the job payload is not JSON"))
	}
	if len(h.ClientCert) > 0 != (len(h.ClientKey) > 0) {
		problems = append(problems, errors.New("a client certificate needs its key, and the reverse"))
	}
	return errors.Join(problems...)
}

type tlsFile struct {
	name string
	key  string // what names it in a [[runners]] section
	data []byte
}

// tlsFiles gives those of the TLS files that this host has.
func (h Host) tlsFiles() []tlsFile {
	var files []tlsFile
	for _, f := range []tlsFile{
		{CAFile, "tls-ca-file", h.CA},
		{ClientCertFile, "tls-cert-file", h.ClientCert},
		{ClientKeyFile, "tls-key-file", h.ClientKey},
	} {
		if len(f.data) > 0 {
			files = append(files, f)
		}
	}
	return files
}
