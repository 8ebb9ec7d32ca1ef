// SPDX-License-Identifier: Apache-2.0

package gitpush

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/fleet"
)

func testFiles() []fleet.File {
	return []fleet.File{
		{Path: "Dockerfile", Data: []byte("FROM scratch\n")},
		{Path: "bin/paas-relay", Data: noise(5_000), Executable: true},
		{Path: "bin.txt", Data: []byte("sorts between bin and bin/ if one gets it wrong")},
		{Path: "empty", Data: nil},
		{Path: "job.json", Data: []byte(`{"id":1}`)},
		{Path: "same.json", Data: []byte(`{"id":1}`)}, // one object, two names
		{Path: "étage/deep/er", Data: []byte("x")},
	}
}

// noise is data that doesn't compress, the same every time.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = r.Read(data)
	return data
}

func TestGitAcceptsAndGivesBackTheSameFiles(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	if _, ok, err := Head(t.Context(), g.target(), "master"); ok || err != nil {
		t.Fatalf("head of an empty repository: %v, %v", ok, err)
	}
	if err := Push(t.Context(), g.target(), "master", testFiles(), "Job definition"); err != nil {
		t.Fatal(err)
	}
	git(t, "-C", g.repository, "fsck", "--full", "--strict")
	hash, ok, err := Head(t.Context(), g.target(), "master")
	if err != nil || !ok || hash != git(t, "-C", g.repository, "rev-parse", "refs/heads/master") {
		t.Errorf("head: %s, %v, %v", hash, ok, err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "clone", "--quiet", g.repository, clone)
	for _, f := range testFiles() {
		data, err := os.ReadFile(filepath.Join(clone, f.Path))
		if err != nil || !bytes.Equal(data, f.Data) {
			t.Errorf("%s differs: %d bytes, %v", f.Path, len(data), err)
		}
		info, err := os.Stat(filepath.Join(clone, f.Path))
		if err != nil || (info.Mode().Perm()&0o100 != 0) != f.Executable {
			t.Errorf("%s has mode %v, %v", f.Path, info.Mode(), err)
		}
	}
	if n := git(t, "-C", clone, "ls-files"); strings.Count(n, "\n")+1 != len(testFiles()) {
		t.Errorf("other files than pushed:\n%s", n)
	}
	fetched(t, g.target())
}

func TestGoGitAcceptsAndGivesBackTheSameFiles(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(withPassword(newGoGitServer()))
	defer s.Close()
	if err := Push(t.Context(), targetOf(s), "master", testFiles(), "Job definition"); err != nil {
		t.Fatal(err)
	}
	fetched(t, targetOf(s))
}

func fetched(t *testing.T, target Target) {
	t.Helper()
	got, err := Fetch(t.Context(), target, "master")
	if err != nil {
		t.Fatal(err)
	}
	want := testFiles()
	slices.SortFunc(want, func(a, b fleet.File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(got, func(a, b fleet.File) int { return strings.Compare(a.Path, b.Path) })
	same := cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("fetched files (-want +got):\n%s", diff)
	}
}

func TestTheBranchIsCreatedOnce(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	if err := Push(t.Context(), g.target(), "master", testFiles(), "one"); err != nil {
		t.Fatal(err)
	}
	before := git(t, "-C", g.repository, "rev-parse", "master")
	target := g.target()
	target.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			t.Error("something was pushed to an existing branch")
		}
		return g.Client().Transport.RoundTrip(r)
	})}
	for _, message := range []string{"one", "two"} { // the very same commit, and another
		err := Push(t.Context(), target, "master", testFiles(), message)
		if !errors.Is(err, fleet.ErrAlreadyStarted) {
			t.Errorf("push of %q to an existing branch: %v", message, err)
		}
	}
	if after := git(t, "-C", g.repository, "rev-parse", "master"); after != before {
		t.Errorf("the branch moved from %s to %s", before, after)
	}
}

// Two pushes that have both seen an empty repository: the server's answer decides.
func TestOneOfManyPushesWins(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	const pushers = 4
	start := newBarrier(pushers)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "git-receive-pack") {
			start.wait() // until all have read the references
		}
		g.Config.Handler.ServeHTTP(w, r)
	}))
	defer s.Close()
	errs := make([]error, pushers)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			errs[i] = Push(t.Context(), targetOf(s), "master", []fleet.File{{Path: "who", Data: fmt.Append(nil, i)}}, "m")
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fleet.ErrAlreadyStarted):
			t.Errorf("a loser was told %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d pushes won", won)
	}
}

type barrier struct {
	left atomic.Int32
	open chan struct{}
}

func newBarrier(n int32) *barrier {
	b := &barrier{open: make(chan struct{})}
	b.left.Store(n)
	return b
}

func (b *barrier) wait() {
	if b.left.Add(-1) == 0 {
		close(b.open)
	}
	<-b.open
}

func TestSameFilesGiveTheSameCommit(t *testing.T) {
	t.Parallel()
	one, err := buildCommit(testFiles(), "m")
	if err != nil {
		t.Fatal(err)
	}
	shuffled := testFiles()
	slices.Reverse(shuffled)
	two, err := buildCommit(shuffled, "m")
	if err != nil || one.hash != two.hash {
		t.Errorf("%s and %s, %v", one.hash, two.hash, err)
	}
	changed := testFiles()
	changed[0].Executable = true
	three, err := buildCommit(changed, "m")
	if err != nil || one.hash == three.hash {
		t.Errorf("an executable bit makes no difference: %v", err)
	}
}

func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer s.Close()
	check := func(what string, err error) {
		t.Helper()
		if err == nil || fleet.ClassOf(err) != fleet.Permanent {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, path := range []string{
		"", "/etc/passwd", "../up", "a/../b", "a/./b", "a//b", "a/", ".", "..", ".git/config", ".GIT/x", "a/.git", ".git /x",
		"git~1/x", ".git::$INDEX/x", `a\b`, "a\x00b", "a\nb", "\xff",
	} {
		check(path, Push(t.Context(), targetOf(s), "master", []fleet.File{{Path: path}}, "m"))
	}
	check("nothing", Push(t.Context(), targetOf(s), "master", nil, "m"))
	check("twice", Push(t.Context(), targetOf(s), "master", []fleet.File{{Path: "a"}, {Path: "a"}}, "m"))
	check("file and folder", Push(t.Context(), targetOf(s), "master", []fleet.File{{Path: "a"}, {Path: "a/b"}}, "m"))
	check("folder and file", Push(t.Context(), targetOf(s), "master", []fleet.File{{Path: "a/b"}, {Path: "a"}}, "m"))
	for _, branch := range []string{"", "a b", "../x", "x.lock", "-x"} {
		check(branch, Push(t.Context(), targetOf(s), branch, testFiles(), "m"))
	}
	for _, url := range []string{
		"", "ftp://host/x", "host/x", "http://u:SECRET-password@" + s.Listener.Addr().String() + "/x", s.URL + "/x?a=b", s.URL + "/x#f", "http://\x7f/",
	} {
		target := targetOf(s)
		target.URL = url
		err := Push(t.Context(), target, "master", testFiles(), "m")
		check(url, err)
		if err != nil && strings.Contains(err.Error(), testPassword) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestFetchWithoutTheBranch(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	if _, err := Fetch(t.Context(), g.target(), "master"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an empty repository: %v", err)
	}
	if err := Push(t.Context(), g.target(), "other", testFiles(), "m"); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), g.target(), "master"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a repository with another branch: %v", err)
	}
	if _, ok, err := Head(t.Context(), g.target(), "master"); ok || err != nil {
		t.Errorf("head: %v, %v", ok, err)
	}
}

// What other programs push has history, deltas and links.
func TestFetchOfAnOrdinaryRepository(t *testing.T) {
	t.Parallel()
	g := newGitServer(t)
	work := filepath.Join(t.TempDir(), "work")
	git(t, "clone", "--quiet", g.repository, work)
	long := strings.Repeat("a line that repeats, so that git makes deltas\n", 2000)
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(work, "f"), fmt.Appendf(nil, "%s%d\n%s", long, i, long), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Symlink("/etc/passwd", filepath.Join(work, "link")); err != nil {
				t.Fatal(err)
			}
		}
		git(t, "-C", work, "add", ".")
		git(t, "-C", work, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "--quiet", "-m", "m")
	}
	git(t, "-C", work, "push", "--quiet", "origin", "HEAD:refs/heads/master")
	git(t, "-C", g.repository, "gc", "--quiet", "--aggressive")
	files, err := Fetch(t.Context(), g.target(), "master")
	if err != nil || len(files) != 1 || string(files[0].Data) != long+"2\n"+long {
		t.Errorf("%d files, %v", len(files), err)
	}
}
