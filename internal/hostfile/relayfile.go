// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	relayVersion = 1
	// waitTimeout is how long the sub-runner may ask the relay for a job. It is
	// given one at once; this only ends a sub-runner that drops the job unasked.
	waitTimeout = 60 * time.Second
	// maxRelayFile limits what is parsed of a file that came back from a cloud.
	maxRelayFile = 1 << 20
)

// relayWire is relay.json.
type relayWire struct {
	Version            int         `json:"version"`
	Coordinator        string      `json:"coordinator"`
	JobID              int64       `json:"job_id"`
	Key                string      `json:"key"`
	JobFile            string      `json:"job_file"`
	RunnerFile         string      `json:"runner_file"`
	RunnerName         string      `json:"runner_name"`
	StandInToken       string      `json:"stand_in_token"`
	URLPlaceholder     string      `json:"url_placeholder"`
	NetworkPlaceholder string      `json:"network_placeholder"`
	PrefixBytes        int64       `json:"prefix_bytes"`
	PrefixCRC32        string      `json:"prefix_crc32"`
	AcquiredAt         time.Time   `json:"acquired_at"`
	TimeoutSeconds     int64       `json:"timeout_seconds"`
	WaitTimeoutSeconds int64       `json:"wait_timeout_seconds"`
	SubRunner          []string    `json:"sub_runner"`
	CAFile             string      `json:"ca_file"`
	ClientCertFile     string      `json:"client_cert_file"`
	ClientKeyFile      string      `json:"client_key_file"`
	Notice             *noticeWire `json:"notice"`
	Docker             dockerWire  `json:"docker"`
	PhaseNote          string      `json:"phase_note,omitempty"`
}

type noticeWire struct {
	URL    string `json:"url"`
	Bearer string `json:"bearer"`
}

type dockerWire struct {
	Subnet string `json:"subnet"`
}

func relayJSON(h Host) ([]byte, error) {
	wire := relayWire{
		Version: relayVersion, Coordinator: h.Coordinator, JobID: h.JobID, Key: h.Key,
		JobFile: JobFile, RunnerFile: RunnerFile, RunnerName: h.RunnerName, StandInToken: h.StandIn.Reveal(),
		URLPlaceholder: urlPlaceholder, NetworkPlaceholder: networkPlaceholder,
		PrefixBytes: h.PrefixBytes, PrefixCRC32: fmt.Sprintf("%08x", h.PrefixCRC32),
		AcquiredAt: h.AcquiredAt.UTC(), TimeoutSeconds: int64(h.Timeout / time.Second),
		WaitTimeoutSeconds: int64(waitTimeout / time.Second), SubRunner: []string{"gitlab-runner"},
		Docker: dockerWire{Subnet: h.RelaySubnet}, PhaseNote: h.PhaseNote,
	}
	if len(h.CA) > 0 {
		wire.CAFile = CAFile
	}
	if len(h.ClientCert) > 0 {
		wire.ClientCertFile, wire.ClientKeyFile = ClientCertFile, ClientKeyFile
	}
	if h.NoticeURL != "" {
		wire.Notice = &noticeWire{URL: h.NoticeURL, Bearer: h.NoticeBearer.Reveal()}
	}
	text, err := json.MarshalIndent(wire, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(text, '\n'), nil
}

// Relay is what relay.json tells about a started job.
type Relay struct {
	Coordinator  string // normalised
	JobID        int64
	Key          string
	RunnerName   string
	StandIn      secret.String
	NoticeBearer secret.String // empty = no notices
	PrefixBytes  int64
	PrefixCRC32  uint32
	AcquiredAt   time.Time
	Timeout      time.Duration
}

// ParseRelay reads relay.json out of the files of an instance. fleet.ErrNotFound
// when there is none, as on instances started with exec-fetched-job.
func ParseRelay(files []fleet.File) (Relay, error) {
	for _, f := range files {
		if f.Path != RelayFile {
			continue
		}
		r, err := parseRelay(f.Data)
		if err != nil {
			return Relay{}, fmt.Errorf("read %s: %w", RelayFile, err)
		}
		return r, nil
	}
	return Relay{}, fmt.Errorf("read %s: %w", RelayFile, fleet.ErrNotFound)
}

func parseRelay(data []byte) (Relay, error) {
	if len(data) > maxRelayFile {
		return Relay{}, fmt.Errorf("%d bytes: want at most %d", len(data), maxRelayFile)
	}
	var wire relayWire
	if err := json.Unmarshal(data, &wire); err != nil {
		return Relay{}, fmt.Errorf("decode: %w", err)
	}
	if wire.Version != relayVersion {
		return Relay{}, fmt.Errorf("version %d: want %d", wire.Version, relayVersion)
	}
	coordinator, err := fleet.NormalizeURL(wire.Coordinator)
	if err != nil {
		return Relay{}, err
	}
	crc, err := strconv.ParseUint(wire.PrefixCRC32, 16, 32)
	if err != nil || len(wire.PrefixCRC32) != 8 {
		return Relay{}, fmt.Errorf("prefix_crc32 %q: want 8 hexadecimal digits", wire.PrefixCRC32)
	}
	const longest = int64(10 * 365 * 24 * time.Hour / time.Second)
	if wire.JobID <= 0 || wire.PrefixBytes < 0 || wire.TimeoutSeconds < 0 || wire.TimeoutSeconds > longest {
		return Relay{}, errors.New("a number is out of its range")
	}
	r := Relay{
		Coordinator: coordinator, JobID: wire.JobID, Key: wire.Key, RunnerName: wire.RunnerName,
		StandIn: secret.New(wire.StandInToken), PrefixBytes: wire.PrefixBytes, PrefixCRC32: uint32(crc),
		AcquiredAt: wire.AcquiredAt.UTC(), Timeout: time.Duration(wire.TimeoutSeconds) * time.Second,
	}
	if wire.Notice != nil {
		r.NoticeBearer = secret.New(wire.Notice.Bearer)
	}
	return r, nil
}
