// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// getSources clones the project when there is one, the job wants it, and git is
// installed.
func (r *realPlace) getSources(ctx context.Context) error {
	strategy := r.payload.variable("GIT_STRATEGY")
	_, err := exec.LookPath("git")
	if r.payload.GitInfo.RepoURL == "" || strategy == "none" || strategy == "empty" || err != nil {
		_, _ = io.WriteString(r.out, "\x1b[32;1mSkipping Git repository setup\x1b[0;m\n\x1b[32;1mSkipping Git checkout\x1b[0;m\n\x1b[32;1mSkipping Git submodules setup\x1b[0;m\n")
		return nil //nolint:nilerr // a computer without git is no failure of the job
	}
	info := r.payload.GitInfo
	depth := "Fetching changes...\n"
	fetch := []string{"fetch", "-q", "--no-tags"}
	if info.Depth > 0 {
		depth = fmt.Sprintf("Fetching changes with git depth set to %d...", info.Depth)
		fetch = append(fetch, fmt.Sprintf("--depth=%d", info.Depth))
	}
	_, _ = fmt.Fprintf(r.out, "\x1b[32;1m%s\x1b[0;m\n", depth)
	fetch = append(append(fetch, info.RepoURL), info.Refspecs...)
	for _, args := range [][]string{
		{"init", "-q", "."}, fetch, {"checkout", "-q", "-f", "--detach", info.SHA},
	} {
		if code, err := r.exec(ctx, append([]string{"git"}, args...)...); err != nil || code != 0 {
			return errors.Join(fmt.Errorf("%w: git %s: exit status %d", errScript, args[0], code), err)
		}
	}
	_, _ = fmt.Fprintf(r.out, "\x1b[32;1mChecking out %.8s as detached HEAD (ref is %s)...\x1b[0;m\n\x1b[32;1mSkipping Git submodules setup\x1b[0;m\n", info.SHA, info.Ref)
	return nil
}

// unpack extracts an archive into the project; nothing outside it is written.
func (r *realPlace) unpack(archive []byte) error {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	root, err := os.OpenRoot(r.project)
	if err != nil {
		return fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	for _, f := range z.File {
		if err := extract(root, f); err != nil {
			return fmt.Errorf("extract %q: %w", f.Name, err)
		}
	}
	return nil
}

func extract(root *os.Root, f *zip.File) error {
	name := filepath.FromSlash(path.Clean(f.Name))
	if f.FileInfo().IsDir() {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from) //nolint:gosec // the archive was read whole, with a limit
	return errors.Join(err, to.Close())
}

// pack collects the files that the paths of an artifact name.
func (r *realPlace) pack(a artifact) ([]byte, int, error) {
	files := map[string][]byte{}
	root := os.DirFS(r.project)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !entry.Type().IsRegular() || !selects(a.Paths, name) || selects(a.Exclude, name) {
			return err
		}
		data, err := fs.ReadFile(root, name)
		files[name] = data
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("collect artifacts: %w", err)
	}
	switch a.Format {
	case "gzip":
		return gzipFiles(files)
	case "raw":
		if len(files) > 1 {
			return nil, 0, fmt.Errorf("%w: only one file can be sent as raw", errScript)
		}
		for _, data := range files {
			return data, 1, nil
		}
		return nil, 0, nil
	}
	return zipFiles(files)
}

// gzipFiles makes one member of each file, the same for the same files.
func gzipFiles(files map[string][]byte) ([]byte, int, error) {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		z := gzip.NewWriter(&b)
		z.Name = path.Base(name)
		if _, err := z.Write(files[name]); err != nil {
			return nil, 0, fmt.Errorf("gzip %q: %w", name, err)
		}
		if err := z.Close(); err != nil {
			return nil, 0, fmt.Errorf("gzip %q: %w", name, err)
		}
	}
	return b.Bytes(), len(files), nil
}

// selects tells whether a path or pattern names the file, or a folder above it.
func selects(patterns []string, name string) bool {
	for _, p := range patterns {
		p = strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/")
		p = strings.TrimSuffix(strings.TrimSuffix(p, "/**/*"), "/**")
		for at := name; at != "."; at = path.Dir(at) {
			if matched, err := path.Match(p, at); err == nil && matched {
				return true
			}
		}
	}
	return false
}

// zipFiles makes an archive, the same for the same files.
func zipFiles(files map[string][]byte) ([]byte, int, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name)
		if err != nil {
			return nil, 0, fmt.Errorf("zip %q: %w", name, err)
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, 0, fmt.Errorf("zip %q: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, 0, fmt.Errorf("zip: %w", err)
	}
	return b.Bytes(), len(files), nil
}
