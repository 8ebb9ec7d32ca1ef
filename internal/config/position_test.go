// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// Nothing that looks like a key but is none may fool the search for lines.
func TestPositions(t *testing.T) {
	t.Parallel()
	text := "\ufeff# a = 1\r\na = 1\r\n\"b.c\" = '''\nd = 2\n[x]\n''''' # '''\ne = \"\"\"\\\"\"\"\n\\\"\"\"\"\nf.'g'.h = [ # ]\n  \"]\", [ 1,\n 2 ], { x = '}',\n y = \"\\\"}\" },\n]\ni = 1979-05-27 07:32:00 # x = 3\n" +
		"[ t . \"u\" ]\nv = { w = { \"x y\" = 1 } }\n[[runners]]\nname = 'a'\n[runners.cache.s3]\nKey = \"\"\n[[runners.docker.services]]\nn = 1\n[[runners.docker.services]]\nn = 2\n[runners.docker.services.deep]\nm = 3\n[[runners]]\nname = \"b\"\n[runners.docker]\nx = 1\n"
	if err := toml.Unmarshal([]byte(text), &map[string]any{}); err != nil {
		t.Fatalf("the test's own file is no TOML: %v", err)
	}
	lines := strings.Split(text, "\n")
	found := scan(text)
	for path, want := range map[string]string{
		"a": "a = 1\r", `"b.c"`: `"b.c" =`, "e": `e = """`, "f": "f.'g'", "f.g.h": "f.'g'", "f.g.h[2]": " 2 ], { x", "f.g.h[2].x": " 2 ], { x", "f.g.h[2].y": " y =",
		"i": "i = 1979", "t": "[ t .", "t.u": "[ t .", "t.u.v.w.x y": "v = {", "runners": "[[runners]]", "runners[0]": "[[runners]]", "runners[0].name": "name = 'a'",
		"runners[0].cache.s3.Key": "Key =", "runners[0].docker.services[0].n": "n = 1", "runners[0].docker.services[1].n": "n = 2", "runners[0].docker.services[1].deep.m": "m = 3",
		"runners[1].name": `name = "b"`, "runners[1].docker.x": "x = 1",
	} {
		line, ok := found[path]
		if !ok || !strings.HasPrefix(lines[line-1], want) {
			t.Errorf("%s: line %d, want the one with %q", path, line, want)
		}
	}
	for _, none := range []string{"d", "x", "t.u.d", "b", "f.g.h.x", "runners[2]", "runners[0].docker.x", "runners[1].cache"} {
		if line, ok := found[none]; ok {
			t.Errorf("%s was found in line %d", none, line)
		}
	}
	for path, want := range map[string]string{"runners[0].no": "runners[0]", `runners[0].cache."no.such\".key"`: "runners[0].cache"} {
		if got := found.at(path); got != found[want] {
			t.Errorf("%s: line %d, want that of %s", path, got, want)
		}
	}
	if line := scan("\ufeffa = 1\n")["a"]; line != 1 {
		t.Errorf("the key behind a byte order mark is in line %d", line)
	}
	if found.at("none") != 1 || found.at("") != 1 {
		t.Error("what is nowhere is not in line 1")
	}
}

// Whatever values stand in a file, the lines of its keys are right.
func TestPositionsOfAnything(t *testing.T) {
	t.Parallel()
	values := []string{
		"1", "3.0", "true", `"x # y"`, `'[z]'`, `"\"" # c`, "\"\"\"\n[a]\nb = 1\n\"\"\"", "'''\n\"\"\"\nk = 1'''", "[]", "[\n# ]\n1, [2,\n3],\n]", "{}",
		"{ a = [ { b = 1 }, \"}\" ] }", "1979-05-27T07:32:00Z", `""""x""""`, "[ '''x'''', \"]\" ]", "[ \"\"\"x\"\"\"\"\", ']',\n1 ]", `""""x"""""`, "''''x'''''", "[ '''\n''', \"\"\"\\\n  \"\"\" ]",
	}
	fillers := []string{"", "\n", "# [x] = '''\n", "\t \r\n", "\n\n# \"\"\"\n"}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		want := map[string]int{}
		path := ""
		for i := range rapid.IntRange(1, 12).Draw(t, "keys") {
			text.WriteString(rapid.SampledFrom(fillers).Draw(t, "filler"))
			line := strings.Count(text.String(), "\n") + 1
			if rapid.Bool().Draw(t, "header") {
				path = fmt.Sprintf("t%d", i)
				fmt.Fprintf(&text, "[%s] # [y]\n", path)
				want[path] = line
				continue
			}
			key := fmt.Sprintf("k%d", i)
			want[child(path, key)] = line
			fmt.Fprintf(&text, "%s = %s\n", key, rapid.SampledFrom(values).Draw(t, "value"))
		}
		if err := toml.Unmarshal([]byte(text.String()), &map[string]any{}); err != nil {
			t.Fatalf("the test's own file is no TOML: %v\n%s", err, text.String())
		}
		found := scan(text.String())
		for path, line := range want {
			if found[path] != line {
				t.Fatalf("%s: line %d, want %d in\n%s", path, found[path], line, text.String())
			}
		}
	})
}

// A file may be as deep as it likes.
func TestDepth(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a = " + strings.Repeat("[", 20000) + "\"]\" # [\n" + strings.Repeat("]", 20000) + "\nb = 1\n",
		strings.Repeat("x.", 2000) + "y = [\n]\nb = 1\n",
		"[" + strings.Repeat("x.", 2000) + "y]\n\n[b]\n",
	} {
		if got := scan(text)["b"]; got != 3 {
			t.Errorf("%.20s…: b in line %d, want 3", text, got)
		}
	}
}
