// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// relayName is the program that goes to every instance.
const relayName = "paas-relay"

// packagedRelay is where packages put it, seen from the folder of our own executable.
// The clouds' instances are of that kind, whatever this computer is.
const packagedRelay = "../lib/heptapod-paas-runner/linux-amd64/" + relayName

// findRelay gives the path of the relay: the configured one, else the one beside our
// own executable, else the package's.
func findRelay(self, configured string) (string, error) {
	path := configured
	if path == "" {
		path = filepath.Join(filepath.Dir(self), relayName)
		packaged := filepath.Join(filepath.Dir(self), packagedRelay)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(packaged); err == nil {
				path = packaged
			}
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is missing: 'make build' puts it beside the program; else say where it is (paas_relay_path, or --relay for the demo)", path)
	} else if err != nil {
		return "", err
	}
	return path, nil
}
