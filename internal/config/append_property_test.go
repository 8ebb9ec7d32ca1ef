// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// composeInto is ReadDraft and Compose on a text.
func composeInto(text string, a Addition) (string, error) {
	d := &Draft{Path: "f", text: text, deps: outside()}
	if err := d.understand(); err != nil {
		return "", err
	}
	got, err := d.Compose(a)
	if err != nil {
		return "", err
	}
	return got.Text, nil
}

// checkAppended holds what every addition promises: the bytes that were there are there,
// and the whole is what was there and the new section.
func checkAppended(t testing.TB, before, after string, section map[string]any) {
	t.Helper()
	if !strings.HasPrefix(after, before) {
		t.Fatalf("bytes changed:\nbefore %q\nafter  %q", before, after)
	}
	if strings.Contains(before, "\r\n") && strings.Count(after[len(before):], "\n") != strings.Count(after[len(before):], "\r\n") {
		t.Fatalf("line ends differ: %q", after[len(before):])
	}
	was, is := decoded(t, before), decoded(t, after)
	old, _ := was[secRunner].([]map[string]any)
	all, _ := is[secRunner].([]map[string]any)
	if len(all) != len(old)+1 {
		t.Fatalf("%d sections, want %d", len(all), len(old)+1)
	}
	want := decoded(t, mustRender(t, section))[secRunner].([]map[string]any)[0]
	if diff := gocmp.Diff(plain(section), plain(all[len(old)])); diff != "" || gocmp.Diff(plain(want), plain(all[len(old)])) != "" {
		t.Fatalf("the new section (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(plain(old), plain(all[:len(old)])); diff != "" {
		t.Fatalf("the old sections (-want +got):\n%s", diff)
	}
	for key, value := range was {
		if key != secRunner && gocmp.Diff(plain(value), plain(is[key])) != "" {
			t.Fatalf("%s changed: %v, %v", key, value, is[key])
		}
	}
}

func mustRender(t testing.TB, section map[string]any) string {
	t.Helper()
	text, err := render(section)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decoded(t testing.TB, text string) map[string]any {
	t.Helper()
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return table
}

// plain makes values comparable: both kinds of lists are one, NaN is itself.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = plain(value)
		}
		return out
	case []map[string]any:
		out := []any{}
		for _, item := range v {
			out = append(out, plain(item))
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, plain(item))
		}
		return out
	case string, bool, int64:
		return v
	}
	return fmt.Sprintf("%T %v", v, v)
}

// Valid files of all sorts: the layout, the comments, the line ends and the values are
// drawn.
func drawFile(t *rapid.T) string {
	comment := rapid.SampledFrom([]string{"", "", "# [[runners]] commented out\n", "   \n", "\t# runners = []\n", "# ä \"\"\"\n"})
	indent := rapid.SampledFrom([]string{"", "  ", "\t"})
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(comment.Draw(t, "comment") + indent.Draw(t, "indent") + fmt.Sprintf(format, args...) + "\n")
	}
	line(`state_file = "/s" # where`)
	if rapid.Bool().Draw(t, "concurrent") {
		line("concurrent=%d", rapid.IntRange(1, 99).Draw(t, "n"))
	}
	count := rapid.IntRange(0, 3).Draw(t, "runners")
	reference := rapid.SampledFrom([]string{"r0", "new"}).Draw(t, "reference")
	if count > 0 {
		reference = "r0"
	}
	quota := rapid.SampledFrom([]string{"table", "inline", "dotted", "none"}).Draw(t, "quota")
	switch quota {
	case "table":
		line("[quota_computation]")
		line("reference_runner = '%s'", reference)
		line("reference_flavor = \"M\"")
		line("reference_jobs_count = 2")
	case "inline":
		line(`quota_computation = { reference_runner = %q, reference_flavor = "M", reference_jobs_count = 2 }`, reference)
	case "dotted":
		line("quota_computation.reference_runner = %q", reference)
		line(`quota_computation."reference_flavor" = "M"`)
		line("quota_computation.reference_jobs_count = 2.0")
	}
	for i := range count {
		line("[[ runners ]]")
		line(`name = "r%d"`, i)
		line(`url = "https://h%d.example"`, i)
		line(`"token" = 't%d'`, i)
		line(`executor = "local-docker"`)
		if rapid.Bool().Draw(t, "script") {
			line("pre_build_script = \"\"\"\n[[runners]]\nname = \"no\"\n\"\"\"")
		}
		if rapid.Bool().Draw(t, "docker") {
			line("[runners.docker]")
			line(`volumes = [ "/a", # one` + "\n" + ` "/b" ]`)
			line("[[runners.docker.services]]")
			line(`name = "x"`)
		}
	}
	text := b.String() + comment.Draw(t, "last")
	switch rapid.IntRange(0, 3).Draw(t, "end") {
	case 0:
		text = strings.TrimRight(text, "\n")
	case 1:
		text += "# the end"
	case 2:
		text += "\n\n"
	}
	if rapid.Bool().Draw(t, "crlf") {
		text = crlf(text)
	}
	if rapid.Bool().Draw(t, "bom") {
		text = "\ufeff" + text
	}
	return text
}

// drawSection draws a section with the most awkward values that a template may have.
func drawSection(t *rapid.T) map[string]any {
	section := map[string]any{
		"name": Literal(rapid.StringMatching(`[^\pC\pZ](\PC{0,12}[^\pC\pZ])?`).Draw(t, "name")), "url": "https://new.example",
		"token": "glrt-new", "executor": "local-docker",
	}
	if rapid.Bool().Draw(t, "expected") {
		section["name"] = "new"
	}
	docker := map[string]any{"image": rapid.String().Draw(t, "image")}
	for range rapid.IntRange(0, 3).Draw(t, "more") {
		key := rapid.StringMatching(`[a-zA-Z .#"\[\]=ä-]{1,8}`).Draw(t, "key")
		docker[key] = rapid.SampledFrom([]any{
			int64(-1), 1.5, true, "a\"b\\c\r\n\t", []any{}, []any{"x", "y"}, []any{[]any{int64(1)}, []any{"a"}},
			map[string]any{}, map[string]any{"a.b": map[string]any{"": "empty"}}, []map[string]any{{"n": int64(1)}, {}},
			[]any{map[string]any{"x": int64(1)}, int64(2)},
		}).Draw(t, "value")
	}
	section["docker"] = docker
	return section
}

func TestAppendingChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		before, section := drawFile(r), drawSection(r)
		a := added()
		a.Section, a.Global.Quota.ReferenceFlavor = section, DefaultFlavor
		after, err := composeInto(before, a)
		if err != nil {
			if bad := strings.Contains(err.Error(), "reference_runner: found \"r0\"") || strings.Contains(err.Error(), "reference_runner: found \"new\""); bad && !strings.Contains(before, "https://h0") {
				return // the file waits for a runner of another name
			}
			r.Fatalf("%v\nin\n%s", err, before)
		}
		checkAppended(t, before, after, section)
		if _, err := read(after); err != nil {
			r.Fatalf("%v\nin\n%s", err, after)
		}
		// And once more, behind what was added.
		a.Section["token"], a.Section["name"] = "glrt-newer", "newer"
		twice, err := composeInto(after, a)
		if err != nil {
			r.Fatal(err)
		}
		checkAppended(t, after, twice, section)
	})
}

// FuzzAppend: whatever a file holds, it is refused or stays as it was before the addition.
func FuzzAppend(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw), "n", "x")
	}
	f.Add(head+section, "a", "${A}")
	f.Add(crlf(head), "a", "\"")
	f.Add("state_file='s'\n#\r\n", "a", "\\")
	f.Add("\ufeff# x", "a", "")
	f.Fuzz(func(t *testing.T, before, name, value string) {
		a := Addition{
			Global:  Global{StateFile: "s", Concurrent: 1, Quota: Quota{ReferenceFlavor: "M", ReferenceJobs: 1}},
			Section: map[string]any{"name": Literal(name), "url": "https://n.example", "token": "t", "executor": "local-docker", "docker": map[string]any{value: value}},
		}
		after, err := composeInto(before, a)
		if err != nil {
			return
		}
		checkAppended(t, before, after, a.Section)
		f := &file{path: "f", deps: outside()}
		if cfg := f.parse(after); cfg.Runners[len(cfg.Runners)-1].Name != name {
			t.Errorf("the name %q became %q", name, cfg.Runners[len(cfg.Runners)-1].Name)
		}
		for _, p := range f.problems {
			if !p.here {
				t.Errorf("%s", p)
			}
		}
	})
}
