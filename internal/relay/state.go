// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stateFile remembers across restarts of the relay what must not be done twice.
const stateFile = "relay-state.json"

// state is what the relay remembers.
type state struct {
	// Lines is the relay's own text in the trace, chosen and written down before it
	// is appended: the size of the trace then tells whether it arrived.
	Lines string `json:"lines,omitempty"`
	// HandedOut is set before the payload is given away.
	HandedOut bool `json:"handed_out,omitempty"`
	// Base is where the sub-runner's bytes begin in the coordinator's trace.
	Base int64 `json:"base,omitempty"`
	// Final is the sub-runner's last word, kept until the coordinator has it.
	Final *finalWord `json:"final,omitempty"`
	// Done: the coordinator has accepted a final update from here.
	Done bool `json:"done,omitempty"`
}

// finalWord is a final update in short.
type finalWord struct {
	State         string `json:"state"`
	FailureReason string `json:"failure_reason,omitempty"`
	ExitCode      int    `json:"exit_code,omitempty"`
}

// readState gives the remembered state; the zero one at the first start. One that
// can't be read means that a relay was here before, so nothing may be handed out.
func readState(dir string) (state, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read the relay's state: %w", err)
	}
	var s state
	if json.Unmarshal(data, &s) != nil || s.Base < 0 {
		return state{HandedOut: true}, nil
	}
	return s, nil
}

// save writes the state so that it is either the old or the new one whenever the
// power goes, and the new one once save has returned.
func (s state) save(dir string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the relay's state: %w", err)
	}
	next := filepath.Join(dir, stateFile+".new")
	if err := writeSynced(next, data); err != nil {
		return fmt.Errorf("write the relay's state: %w", err)
	}
	if err := os.Rename(next, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("write the relay's state: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the relay's folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync the relay's folder: %w", err)
	}
	return nil
}

// writeSynced writes a file that only we may read and has it on disk on return.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
