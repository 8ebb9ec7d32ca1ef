// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	settingsVersion = 1
	// serverGrace is what a coordinator adds to a job's timeout, counted from
	// acquisition, before it ends the job itself.
	serverGrace = 15 * time.Minute
	// longestTimeout keeps arithmetic on foreign numbers from overflowing.
	longestTimeout = int64(10 * 365 * 24 * time.Hour / time.Second)
)

// settings is relay.json.
type settings struct {
	Version            int       `json:"version"`
	Coordinator        string    `json:"coordinator"`
	JobID              int64     `json:"job_id"`
	Key                string    `json:"key"`
	JobFile            string    `json:"job_file"`
	RunnerFile         string    `json:"runner_file"`
	RunnerName         string    `json:"runner_name"`
	StandInToken       string    `json:"stand_in_token"`
	URLPlaceholder     string    `json:"url_placeholder"`
	NetworkPlaceholder string    `json:"network_placeholder"`
	PrefixBytes        int64     `json:"prefix_bytes"`
	PrefixCRC32        string    `json:"prefix_crc32"`
	AcquiredAt         time.Time `json:"acquired_at"`
	TimeoutSeconds     int64     `json:"timeout_seconds"`
	WaitTimeoutSeconds int64     `json:"wait_timeout_seconds"`
	SubRunner          []string  `json:"sub_runner"`
	CAFile             string    `json:"ca_file"`
	ClientCertFile     string    `json:"client_cert_file"`
	ClientKeyFile      string    `json:"client_key_file"`
	Notice             *struct {
		URL    string `json:"url"`
		Bearer string `json:"bearer"`
	} `json:"notice"`
	Docker struct {
		Subnet string `json:"subnet"`
	} `json:"docker"`
	PhaseNote string `json:"phase_note"`

	dir  string   // where relay.json is; the other files are named from here
	base *url.URL // Coordinator, parsed
	crc  uint32   // PrefixCRC32, parsed
}

// readSettings reads relay.json and checks it.
func readSettings(path string) (*settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the relay's settings: %w", err)
	}
	s, err := parseSettings(data)
	if err != nil {
		return nil, fmt.Errorf("read the relay's settings %s: %w", path, err)
	}
	s.dir = filepath.Dir(path)
	return s, nil
}

func parseSettings(data []byte) (*settings, error) {
	var s settings
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if s.Version != settingsVersion {
		return nil, fmt.Errorf("version %d: want %d", s.Version, settingsVersion)
	}
	base, err := url.Parse(s.Coordinator)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") || base.User != nil ||
		base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("coordinator %q: want an http or https base URL", s.Coordinator)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	s.base = base
	crc, err := strconv.ParseUint(s.PrefixCRC32, 16, 32)
	if err != nil || len(s.PrefixCRC32) != 8 {
		return nil, fmt.Errorf("prefix_crc32 %q: want 8 hexadecimal digits", s.PrefixCRC32)
	}
	s.crc = uint32(crc)
	return &s, s.check()
}

func (s *settings) check() error {
	switch {
	case s.JobID <= 0:
		return fmt.Errorf("job_id %d: want a positive number", s.JobID)
	case s.JobFile == "" || s.RunnerFile == "":
		return errors.New("job_file and runner_file are needed")
	case s.RunnerName == "":
		return errors.New("runner_name is needed")
	case s.StandInToken == "":
		return errors.New("stand_in_token is needed")
	case s.URLPlaceholder == "" || s.NetworkPlaceholder == "":
		return errors.New("url_placeholder and network_placeholder are needed")
	case s.PrefixBytes < 0 || s.PrefixBytes > maxOffset:
		return fmt.Errorf("prefix_bytes %d: out of range", s.PrefixBytes)
	case s.TimeoutSeconds < 0 || s.TimeoutSeconds > longestTimeout:
		return fmt.Errorf("timeout_seconds %d: out of range", s.TimeoutSeconds)
	case s.WaitTimeoutSeconds <= 0 || s.WaitTimeoutSeconds > longestTimeout:
		return fmt.Errorf("wait_timeout_seconds %d: out of range", s.WaitTimeoutSeconds)
	case len(s.SubRunner) == 0 || s.SubRunner[0] == "":
		return errors.New("sub_runner is needed")
	case s.AcquiredAt.IsZero():
		return errors.New("acquired_at is needed")
	}
	return nil
}

// path gives a file that relay.json names, seen from its own folder.
func (s *settings) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

// serverLimit is when the coordinator ends the job itself; the zero time when it
// never does.
func (s *settings) serverLimit() time.Time {
	if s.TimeoutSeconds == 0 {
		return time.Time{}
	}
	return s.AcquiredAt.Add(time.Duration(s.TimeoutSeconds)*time.Second + serverGrace)
}
