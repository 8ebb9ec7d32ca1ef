// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// File is one file of an image: Data, or the content of the file From of this
// computer, or a symbolic link; a folder when its path ends with a slash.
type File struct {
	Path string
	Data string
	From string
	Link string
	Mode int64 // 0755 if not said
}

// Import makes an image of the given files and nothing else. A change is an
// instruction of a Dockerfile, as `ENTRYPOINT ["/bin/x"]`.
func (e *Engine) Import(t testing.TB, name string, files []File, changes ...string) {
	t.Helper()
	text := pack(t, files)
	repository, tag, _ := strings.Cut(name, ":")
	query := url.Values{"fromSrc": {"-"}, "repo": {repository}, "tag": {cmp.Or(tag, "latest")}, "changes": changes}
	var answer []byte
	e.Must(t, http.MethodPost, "/images/create?"+query.Encode(), text, &answer)
	if bytes.Contains(answer, []byte(`"error"`)) {
		t.Fatalf("import %s: %s", name, answer)
	}
}

// Put puts files into a container.
func (e *Engine) Put(t testing.TB, id string, files ...File) {
	t.Helper()
	e.Must(t, http.MethodPut, "/containers/"+id+"/archive?path=/", pack(t, files), nil)
}

func pack(t testing.TB, files []File) *bytes.Buffer {
	t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, f := range files {
		if err := f.write(w); err != nil {
			t.Fatalf("pack %s: %v", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("pack files: %v", err)
	}
	return &text
}

func (f File) write(w *tar.Writer) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(f.Path, "/"), Mode: cmp.Or(f.Mode, 0o755), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0),
	}
	data := []byte(f.Data)
	switch {
	case strings.HasSuffix(f.Path, "/"):
		header.Typeflag = tar.TypeDir
	case f.Link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, f.Link
	case f.From != "":
		var err error
		if data, err = os.ReadFile(f.From); err != nil {
			return err
		}
	}
	header.Size = int64(len(data))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// Busybox gives the files of a small system: a shell with the usual programs.
func Busybox(t testing.TB) []File {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("%v: install busybox-static (make test does)", err)
	}
	static(t, path)
	//nolint:noctx // it prints a list
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatalf("list what busybox can do: %v", err)
	}
	files := []File{
		{Path: "/bin/busybox", From: path}, {Path: "/tmp/", Mode: 0o1777}, {Path: "/root/", Mode: 0o700},
		{Path: "/etc/passwd", Data: "root:x:0:0:root:/root:/bin/sh\n", Mode: 0o644},
		{Path: "/etc/group", Data: "root:x:0:\n", Mode: 0o644},
	}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" {
			files = append(files, File{Path: "/bin/" + applet, Link: "busybox"})
		}
	}
	return files
}

func static(t testing.TB, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	program, err := elf.NewFile(file)
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			t.Fatalf("%s needs libraries, so it can't stand alone in an image: install busybox-static", path)
		}
	}
}

// Build compiles a Go program of this module, named as for `go build`, so that it
// runs in any image, and gives its path.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	return out
}
