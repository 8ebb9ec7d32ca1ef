// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/fleet"
)

// wantOpenError opens a ledger that must be refused, with these words.
func wantOpenError(t *testing.T, cfg Config, is error, words ...string) {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err == nil {
		mustClose(t, s)
		t.Fatalf("opened, want an error with %q", words)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("want %v, have %v", is, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("want the error to say %q, have: %v", word, err)
		}
	}
}

func TestSecondManagerIsRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	first := mustOpen(t, Config{Path: path})
	link := filepath.Join(t.TempDir(), "other-name.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link, filepath.Join(folder, ".", "ledger.db")} {
		wantOpenError(t, Config{Path: p}, ErrHeld, fmt.Sprintf("process %d", os.Getpid()))
	}
	mustCommit(t, first, Change{Meta: map[string]string{"still": "mine"}})
	mustClose(t, first)
	second := mustOpen(t, Config{Path: link})
	if snap, err := second.Load(t.Context()); err != nil || snap.Meta["still"] != "mine" {
		t.Errorf("through the link: %v, %v", snap.Meta, err)
	}
	mustClose(t, second)
}

func TestFolderProblemsAreExplained(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	writeFile(t, file, "x")
	dangling := filepath.Join(folder, "dangling")
	if err := os.Symlink(filepath.Join(folder, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing")
	wantOpenError(t, Config{}, nil, "no path")
	wantOpenError(t, Config{Path: filepath.Join(missing, "ledger.db")}, nil, missing, "doesn't exist", "uid")
	wantOpenError(t, Config{Path: filepath.Join(file, "ledger.db")}, nil, file)
	wantOpenError(t, Config{Path: dangling}, nil, "symbolic link")
	wantOpenError(t, Config{Path: folder}, ErrNotLedger, "not a regular file")
}

func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		folder := t.TempDir()
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		wantOpenError(t, Config{Path: filepath.Join(folder, "ledger.db")}, nil, folder, "must be writable", "uid")
		return
	}
	// Nothing stops root but a file system without files to create.
	wantOpenError(t, Config{Path: "/proc/ledger.db"}, nil, "/proc", "uid 0")
}

func TestForeignFileSystemsAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	for magic, name := range foreignFileSystems {
		kind := func(string) (int64, error) { return magic, nil }
		wantOpenError(t, Config{Path: path, statfs: kind}, ErrForeignFS, name, "local disk")
	}
	broken := func(string) (int64, error) { return 0, errors.New("no answer") }
	wantOpenError(t, Config{Path: path, statfs: broken}, nil, "no answer")
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was created all the same")
	}
	ext4 := func(string) (int64, error) { return 0xef53, nil }
	mustClose(t, mustOpen(t, Config{Path: path, statfs: ext4}))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestForeignFilesAreRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		is    error
		words []string
	}{
		"state of the Python program": {`{"jobs": {}}`, ErrNotLedger, []string{"JSON", "Python", "when the service starts", "nothing was changed"}},
		"JSON with a blank":           {"\n [1]", ErrNotLedger, []string{"JSON"}},
		"text":                        {strings.Repeat("garbage", 100), ErrNotLedger, []string{"not an SQLite database"}},
		"one byte":                    {"x", ErrNotLedger, []string{"not an SQLite database"}},
		"cut in the header":           {sqliteMagic + "\x10", ErrDamaged, []string{"cut off"}},
		"cut in the magic":            {sqliteMagic[:5], ErrDamaged, []string{"cut off"}},
		"junk after the magic":        {sqliteMagic + strings.Repeat("junk", 1000), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ledger.db")
			writeFile(t, path, c.text)
			wantOpenError(t, Config{Path: path}, c.is, c.words...)
			if after, err := os.ReadFile(path); err != nil || string(after) != c.text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

func TestAnEmptyFileIsANewLedger(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	writeFile(t, path, "") // what a crash leaves that comes right after the file's creation
	mustClose(t, mustOpen(t, Config{Path: path}))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestDatabaseOfAnotherProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	sqlFile(t, path, "CREATE TABLE bookmarks (url TEXT)")
	wantOpenError(t, Config{Path: path}, ErrNotLedger, "another program")
}

func TestDamagedLedgersAreRefused(t *testing.T) {
	t.Parallel()
	damage := map[string]func(data []byte) []byte{
		"cut after some pages": func(data []byte) []byte { return data[:len(data)/2/4096*4096] },
		"cut in a page":        func(data []byte) []byte { return data[:len(data)-1000] },
		"zeros in the middle": func(data []byte) []byte {
			clear(data[4096 : len(data)-4096])
			return data
		},
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ledger.db")
			s := mustOpen(t, Config{Path: path})
			for id := range int64(50) {
				mustCommit(t, s, Change{Jobs: []fleet.Job{wholeJob(id + 1)}})
			}
			mustClose(t, s)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, string(harm(data)))
			wantOpenError(t, Config{Path: path}, ErrDamaged)
		})
	}
}

// sqlFile makes a database with other means than the store's.
func sqlFile(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func TestAnOlderLedgerIsMigratedAndACopyKept(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(filepath.Join("testdata", "v1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	sqlFile(t, path, string(old))
	writeFile(t, path+".v1.bak.tmp", "left by a crash")
	s := mustOpen(t, Config{Path: path, Release: "1.0.0"})
	defer mustClose(t, s)
	snap, err := s.Load(t.Context())
	if err != nil || len(snap.Jobs) != 1 || len(snap.Instances) != 1 || len(snap.Runners) != 1 || snap.NextSeq != 4 {
		t.Fatalf("after the migration: %+v, %v", snap, err)
	}
	if job := snap.Jobs[0]; job.ID != 7 || job.State != fleet.JobRunning || job.Token.Reveal() != "job-token" || !job.AcquiredAt.Equal(at(0)) {
		t.Errorf("job %+v", job)
	}
	mustCommit(t, s, Change{Notes: []Note{{Job: snap.Jobs[0].JobID, Text: "a table of schema 2"}}})
	if have, err := readSchema(t.Context(), s.db); err != nil || have != (schema{version: 4, release: "1.0.0"}) {
		t.Errorf("schema %+v, %v", have, err)
	}

	// The copy is whole, of the old schema, private, and can take its place.
	copied := path + ".v1.bak"
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("copy: %v, %v", info, err)
	}
	if _, err := os.Stat(copied + ".tmp"); err == nil {
		t.Error("the unfinished copy is still there")
	}
	db, err := openDatabase(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if have, err := readSchema(t.Context(), db); err != nil || have != (schema{version: 1, release: "0.9.0"}) {
		t.Errorf("copy's schema %+v, %v", have, err)
	}
	var jobs int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM jobs").Scan(&jobs); err != nil || jobs != 1 {
		t.Errorf("copy's jobs: %d, %v", jobs, err)
	}
}

// What the migrations make of an old ledger must be what they make of none.
func TestMigratedAndNewLedgersAreAlike(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(filepath.Join("testdata", "v1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	sqlFile(t, path, string(old))
	migrated := mustOpen(t, Config{Path: path})
	defer mustClose(t, migrated)
	if a, b := columnsOf(t, migrated), columnsOf(t, openTemp(t)); a != b {
		t.Errorf("migrated:\n%s\nnew:\n%s", a, b)
	}
}

func columnsOf(t *testing.T, s *Store) string {
	t.Helper()
	var all string
	err := s.db.QueryRowContext(t.Context(), `SELECT group_concat(line, char(10)) FROM
		(SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || c.pk AS line
		FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'index') ORDER BY m.name, c.cid)`).Scan(&all)
	if err != nil || !strings.Contains(all, "jobs.payload BLOB") {
		t.Fatalf("columns: %v\n%s", err, all)
	}
	return all
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	mustCommit(t, s, Change{Meta: map[string]string{"a": "b"}})
	all, err := embeddedMigrations()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, migration{5, "CREATE TABLE later (x TEXT); DROP TABLE meta; DELETE FROM nothing_like_it"})
	if err := migrate(t.Context(), s.db, s.path, "9.9", all, s.pass); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a broken migration: %v", err)
	}
	have, err := readSchema(t.Context(), s.db)
	if err != nil || have.version != 4 {
		t.Errorf("schema %+v, %v", have, err)
	}
	if snap, err := s.Load(t.Context()); err != nil || snap.Meta["a"] != "b" {
		t.Errorf("after the failed migration: %+v, %v", snap.Meta, err)
	}
}

func TestANewerLedgerIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := mustOpen(t, Config{Path: path})
	if _, err := s.db.ExecContext(t.Context(), "UPDATE schema_version SET version = 99, release_name = '7.8.9'"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, Config{Path: path}, ErrNewer, "schema 99", "up to 4", "7.8.9", path+".v4.bak")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed: %v", err)
	}
	if _, err := s.db.ExecContext(t.Context(), "SELECT 1"); err == nil {
		t.Error("the refused database is still open")
	}
}

func TestUnreadableSchemaVersion(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":  "DELETE FROM schema_version",
		"zero":   "UPDATE schema_version SET version = 0",
		"a word": "UPDATE schema_version SET version = 'two'",
	} {
		path := filepath.Join(t.TempDir(), "ledger.db")
		mustClose(t, mustOpen(t, Config{Path: path}))
		sqlFile(t, path, text)
		t.Log(name)
		wantOpenError(t, Config{Path: path}, ErrDamaged, "schema version")
	}
}

func TestUnknownStateIsNotGuessed(t *testing.T) {
	t.Parallel()
	s := openTemp(t)
	mustCommit(t, s, Change{Jobs: []fleet.Job{wholeJob(1)}, Instances: []fleet.Instance{wholeInstance("key")}})
	for _, text := range []string{"UPDATE jobs SET state = 'dancing'", "UPDATE jobs SET state = 'closed'", "UPDATE instances SET state = 'dancing'"} {
		if _, err := s.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(t.Context())
		if strings.Contains(text, "dancing") != errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte(sqliteMagic))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "file")
		writeFile(t, path, string(data))
		err := sniff(path)
		if ok := len(data) == 0 || (len(data) >= sqliteHeader && strings.HasPrefix(string(data), sqliteMagic)); ok != (err == nil) {
			t.Errorf("%q: %v", data, err)
		}
	})
}
