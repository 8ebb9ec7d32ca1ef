// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
)

const (
	folder = "/etc/heptapod-runner"
	// listFile names the files that were given: programs on the instance write others there.
	listFile = ".given.json"
)

// pack makes the archive that is put into a container: everything in one folder, with
// the list of what there is.
func pack(files []fleet.File) (*bytes.Buffer, error) {
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	list, err := json.Marshal(names)
	if err != nil {
		return nil, fmt.Errorf("list the files: %w", err)
	}
	return packed(append(slices.Clone(files), fleet.File{Path: listFile, Data: list}))
}

// packed makes an archive of files in the folder.
func packed(files []fleet.File) (*bytes.Buffer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		mode := int64(0o600)
		if f.Executable {
			mode = 0o700
		}
		name := strings.TrimPrefix(hostfile.Folder+f.Path, "/")
		if path.Clean(name) != name {
			return nil, fmt.Errorf("file %q: want a plain name", f.Path)
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(f.Data))}); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the files: %w", err)
	}
	return &out, nil
}

// unpack reads the files that were given out of an archive of their folder.
func unpack(archive io.Reader) ([]fleet.File, error) {
	there, left := map[string]fleet.File{}, int64(maxArchive)
	r := tar.NewReader(io.LimitReader(archive, maxArchive))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		_, name, found := strings.Cut(header.Name, "/")
		if header.Typeflag != tar.TypeReg || !found {
			continue
		}
		data, err := readMost(r, left)
		if err != nil {
			return nil, fmt.Errorf("read %.80q of the archive: %w", name, err)
		}
		left -= int64(len(data))
		there[name] = fleet.File{Path: name, Data: data, Executable: header.Mode&0o100 != 0}
	}
	return given(there)
}

func given(there map[string]fleet.File) ([]fleet.File, error) {
	list, ok := there[listFile]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", listFile, fleet.ErrNotFound)
	}
	var names []string
	if err := json.Unmarshal(list.Data, &names); err != nil {
		return nil, fmt.Errorf("read %s: %w", listFile, err)
	}
	var out []fleet.File
	for _, name := range names {
		f, ok := there[name]
		if !ok {
			return nil, fmt.Errorf("%s is not there any more: %w", name, fleet.ErrNotFound)
		}
		out = append(out, f)
	}
	return out, nil
}
