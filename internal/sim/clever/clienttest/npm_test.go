// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// store is where packages are kept between runs: what git and Go leave alone.
const store = "../../../../bin/npm"

// packages is a folder with everything of testdata/package-lock.json.
type packages struct{ dir, node string }

// installed is done once, however many tests ask for it.
var installed = sync.OnceValues(install)

// fromNPM gives the packages, and installs them if they are not there. Under -short,
// which needs nothing but Go, the test is skipped; in a full run a missing npm fails it.
func fromNPM(t *testing.T) packages {
	t.Helper()
	if testing.Short() {
		t.Skip("needs npm and a registry")
	}
	p, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p packages) path(parts ...string) string {
	return filepath.Join(append([]string{p.dir, "node_modules"}, parts...)...)
}

// install has npm install what the lock file says, by its checksums, from the registry
// that it is configured for. A folder has its final name only when it is complete.
func install() (packages, error) {
	lock, err := os.ReadFile("testdata/package-lock.json")
	if err != nil {
		return packages{}, err
	}
	sum := sha256.Sum256(lock)
	dir, err := filepath.Abs(filepath.Join(store, runtime.GOOS+"-"+runtime.GOARCH+"-"+hex.EncodeToString(sum[:8])))
	if err != nil {
		return packages{}, err
	}
	if _, err := os.Stat(dir); err != nil {
		if err := os.MkdirAll(store, 0o755); err != nil {
			return packages{}, err
		}
		fresh, err := os.MkdirTemp(store, "unfinished-")
		if err != nil {
			return packages{}, err
		}
		defer os.RemoveAll(fresh)
		if err := npm(fresh); err != nil {
			return packages{}, err
		}
		if err := os.Rename(fresh, dir); err != nil {
			return packages{}, err
		}
	}
	p := packages{dir: dir}
	p.node, err = p.findNode()
	return p, err
}

func npm(dir string) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w (make test installs npm, as root)\n%s", err, out)
	}
	return nil
}

// findNode takes the Node that npm has installed, since the current command line needs
// a newer one than many systems have.
func (p packages) findNode() (string, error) {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	node := p.path("node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(node); err == nil {
		return node, nil
	}
	return exec.LookPath("node")
}
