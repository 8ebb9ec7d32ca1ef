// SPDX-License-Identifier: Apache-2.0

// Command image writes a container image to a file, which `docker load` and `podman load`
// read. It needs neither a registry nor an engine, and it compiles nothing: it packs what
// lies in a folder. The one idea: an image is one layer of files and two small texts, and
// the same files give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

const (
	program = "heptapod-paas-runner"
	uid     = 65532 // of nobody else
)

func main() {
	root := flag.String("root", "", "folder with the files")
	tag := flag.String("tag", program+":dev", "name of the image")
	arch := flag.String("arch", "amd64", "kind of computer that the programs are for")
	out := flag.String("o", "", "file to write")
	made := flag.Int64("date", 0, "seconds since 1970 that everything is dated")
	flag.Parse()
	if err := write(*out, *root, *tag, *arch, time.Unix(*made, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// write makes the file, as an archive of Docker's with the names that OCI gives its blobs.
func write(out, root, tag, arch string, made time.Time) error {
	layer, err := pack(root, made)
	if err != nil {
		return fmt.Errorf("pack %s: %w", root, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux", "created": made.Format(time.RFC3339),
		"config": map[string]any{
			"User":       fmt.Sprintf("%d:%d", uid, uid),
			"Entrypoint": []string{"/usr/bin/" + program},
			"Cmd":        []string{"/etc/" + program + "/paas-runner.toml"},
			"Env":        []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
			"WorkingDir": "/var/lib/" + program,
			"StopSignal": "SIGTERM",
			"Volumes":    map[string]any{"/var/lib/" + program: map[string]any{}},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
		"history": []any{map[string]any{"created": made.Format(time.RFC3339), "created_by": "make image"}},
	})
	if err != nil {
		return err
	}
	blob := func(b []byte) string { return "blobs/sha256/" + sum(b) }
	manifest, err := json.Marshal([]any{map[string]any{"Config": blob(config), "RepoTags": []string{tag}, "Layers": []string{blob(layer)}}})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		text []byte
	}{{blob(config), config}, {blob(layer), layer}, {"manifest.json", manifest}} {
		if err := add(w, tar.Header{Name: f.name, Mode: 0o644, ModTime: made}, f.text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// pack makes the layer: the files of a folder, and those that every image has.
func pack(root string, made time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error { // in order of names
		if err != nil || name == root {
			return err
		}
		inside, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		h := tar.Header{Name: filepath.ToSlash(inside), Mode: 0o755, ModTime: made}
		if d.IsDir() {
			h.Name += "/"
			return add(w, h, nil)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o100 == 0 {
			h.Mode = 0o644
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return add(w, h, text)
	})
	if err != nil {
		return nil, err
	}
	user := fmt.Sprintf("%s:x:%d:%d::/var/lib/%s:/\n", program, uid, uid, program)
	for _, f := range []struct {
		tar.Header
		text string
	}{
		{tar.Header{Name: "etc/passwd", Mode: 0o644}, "root:x:0:0::/:/\n" + user},
		{tar.Header{Name: "etc/group", Mode: 0o644}, fmt.Sprintf("root:x:0:\n%s:x:%d:\n", program, uid)},
		{tar.Header{Name: path.Join("etc", program) + "/", Mode: 0o750, Uid: uid, Gid: uid}, ""},
		{tar.Header{Name: "tmp/", Mode: 0o1777}, ""},
		{tar.Header{Name: "var/", Mode: 0o755}, ""},
		{tar.Header{Name: "var/lib/", Mode: 0o755}, ""},
		{tar.Header{Name: path.Join("var/lib", program) + "/", Mode: 0o700, Uid: uid, Gid: uid}, ""},
	} {
		f.ModTime = made
		if err := add(w, f.Header, []byte(f.text)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// add writes one file or folder, which is told by its name's end.
func add(w *tar.Writer, h tar.Header, text []byte) error {
	h.Typeflag, h.Size = tar.TypeReg, int64(len(text))
	if h.Name[len(h.Name)-1] == '/' {
		h.Typeflag = tar.TypeDir
	}
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}
