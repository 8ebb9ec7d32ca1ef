// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"heptapod-paas-runner/internal/fleet"
)

// Sizes around each border of the variable-length header.
func TestPackHoldsEverySize(t *testing.T) {
	t.Parallel()
	var files []fleet.File
	for _, size := range []int{0, 1, 15, 16, 17, 2047, 2048, 2049, 1<<18 - 1, 1 << 18, 1<<18 + 1} {
		files = append(files, fleet.File{Path: fmt.Sprint(size), Data: bytes.Repeat([]byte{byte(size)}, size)})
	}
	commit, err := buildCommit(files, "m")
	if err != nil {
		t.Fatal(err)
	}
	pack, err := io.ReadAll(writePack(commit.objects, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpack(pack, commit.hash)
	if err != nil || len(got) != len(files) {
		t.Fatalf("%d files, %v", len(got), err)
	}
	for _, f := range got {
		if fmt.Sprint(len(f.Data)) != f.Path {
			t.Errorf("%s has %d bytes", f.Path, len(f.Data))
		}
	}
}

func TestObjectHeader(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 15, 16, 1<<11 - 1, 1 << 11, 1 << 18, 1 << 25, 1<<32 - 1, 1 << 40} {
		header := objectHeader(plumbing.BlobObject, size)
		got, shift := int(header[0]&0x0f), 4
		for _, b := range header[1:] {
			got |= int(b&0x7f) << shift
			shift += 7
		}
		if kind := header[0] >> 4 & 7; got != size || kind != byte(plumbing.BlobObject) || header[len(header)-1]&0x80 != 0 {
			t.Errorf("%d is written as % x: %d of kind %d", size, header, got, kind)
		}
	}
}

func TestCacheKeepsOnlyBigExecutables(t *testing.T) {
	t.Parallel()
	var cache Cache
	data := noise(keepFrom)
	for _, files := range [][]fleet.File{
		{{Path: "job.json", Data: data}},
		{{Path: "small", Data: data[:keepFrom-1], Executable: true}},
	} {
		commit, err := buildCommit(files, "m")
		if err != nil {
			t.Fatal(err)
		}
		writePack(commit.objects, &cache)
		if len(cache.packs) != 0 {
			t.Errorf("%s is kept", files[0].Path)
		}
	}
	for i := range keepMost + 3 {
		o := newObject(plumbing.BlobObject, append([]byte{byte(i)}, data...))
		o.keep = true
		squeeze := zlib.NewWriter(io.Discard)
		first, second := cache.compressed(o, squeeze), cache.compressed(o, squeeze)
		if &first[0] != &second[0] {
			t.Error("compressed twice")
		}
		if !bytes.Equal(first, deflate(o.data, zlib.NewWriter(io.Discard))) {
			t.Error("the kept form differs")
		}
	}
	if len(cache.packs) != keepMost || len(cache.order) != keepMost {
		t.Errorf("%d kept, want %d", len(cache.packs), keepMost)
	}
}

// A pack of a few kilobytes that asks for gigabytes.
func TestInflatedSizeIsBounded(t *testing.T) {
	t.Parallel()
	huge := newObject(plumbing.BlobObject, make([]byte, 1<<20))
	pack, err := io.ReadAll(writePack([]object{huge}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkInflated(pack, 1<<20); err != nil {
		t.Error(err)
	}
	if err := checkInflated(pack, 1<<20-1); !errors.Is(err, errTooLarge) {
		t.Errorf("a blob that is too large: %v", err)
	}
	if err := checkInflated(deltaPack(1<<40), 1<<30); !errors.Is(err, errTooLarge) {
		t.Errorf("a delta with a huge result: %v", err)
	}
}

// deltaPack is a pack with an empty blob and a delta on it that claims a result size.
func deltaPack(result uint64) []byte {
	base := newObject(plumbing.BlobObject, nil)
	var delta []byte
	delta = binary.AppendUvarint(delta, 0)
	delta = binary.AppendUvarint(delta, result)
	var body bytes.Buffer
	body.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x02")
	body.Write(objectHeader(plumbing.BlobObject, 0))
	body.Write(deflate(nil, zlib.NewWriter(io.Discard)))
	body.Write(objectHeader(plumbing.REFDeltaObject, len(delta)))
	body.Write(base.hash[:])
	w := zlib.NewWriter(&body)
	_, _ = w.Write(delta)
	_ = w.Close()
	sum := sha1.Sum(body.Bytes())
	return append(body.Bytes(), sum[:]...)
}

func FuzzUnpack(f *testing.F) {
	commit, err := buildCommit([]fleet.File{{Path: "a/b", Data: []byte("x"), Executable: true}}, "m")
	if err != nil {
		f.Fatal(err)
	}
	pack, err := io.ReadAll(writePack(commit.objects, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pack)
	f.Add(deltaPack(100))
	f.Add([]byte("PACK"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := unpack(data, commit.hash)
		for _, file := range files {
			if err == nil && checkPath(file.Path) != nil {
				t.Errorf("gave back the path %q", file.Path)
			}
		}
	})
}

// However the report reads, only the one true form is a success.
func FuzzReport(f *testing.F) {
	f.Add("000eunpack ok\n0019ok refs/heads/master\n0000")
	f.Add("000eunpack ok\n0021ng refs/heads/master declined\n0000")
	f.Add("0000")
	f.Fuzz(func(t *testing.T, text string) {
		report := packp.NewReportStatus()
		if report.Decode(strings.NewReader(text)) != nil {
			return
		}
		c, err := Target{URL: "http://git.example/app.git", HTTP: &http.Client{Transport: &http.Transport{}}}.connect("git-receive-pack", reportLimit)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.CommandStatuses) == 1 && report.CommandStatuses[0].Status != "ok" {
			return // would ask the server again
		}
		err = c.judge(t.Context(), Target{}, "refs/heads/master", report)
		says := strings.Contains(text, "unpack ok") && strings.Contains(text, "ok refs/heads/master")
		if err == nil && !says {
			t.Errorf("a success is read out of %q", text)
		}
	})
}

// How long a push takes with the relay's binary (this test binary stands for it).
func BenchmarkPush(b *testing.B) {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		b.Fatal(err)
	}
	data = data[:min(len(data), 6<<20)]
	for name, cache := range map[string]*Cache{"compressed once": {}, "compressed each time": nil} {
		b.Run(name, func(b *testing.B) {
			g := newGitServer(b)
			target := g.target()
			target.Packs = cache
			for i := 0; b.Loop(); i++ {
				files := []fleet.File{{Path: "paas-relay", Data: data, Executable: true}, {Path: "job.json", Data: fmt.Append(nil, i)}}
				if err := Push(b.Context(), target, fmt.Sprintf("b%d", i), files, "m"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("pack only, "+name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				commit, err := buildCommit([]fleet.File{{Path: "paas-relay", Data: data, Executable: true}}, "m")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, writePack(commit.objects, cache))
			}
		})
	}
}
