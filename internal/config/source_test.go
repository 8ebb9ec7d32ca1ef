// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValuesFromEnvironmentAndFiles(t *testing.T) {
	t.Parallel()
	text := head + strings.NewReplacer(`"a"`, `"${NAME}-1"`, `"o"`, `"$${NAME}$x"`, `token = "t"`, `token_file = "tokens/${NAME}"`, `"c"`, `"x-${CC_1}-y${EMPTY}"`, `"true"`, `"${CC_1}"`).Replace(section) +
		"cc_gitlab = \"\"\n[runners.job_trace_watch]\ntoken_file = \"/abs\"\n[runners.docker]\nimage = \"${KEEP}\"\n"
	text = strings.Replace(text, `reference_runner = "a"`, `reference_runner = "${NAME}-1"`, 1)
	text = strings.Replace(text, "cc_gitlab = \"\"\n", "", 1)
	text = strings.Replace(text, "[runners.cc", "cc_gitlab_namespace_attributes_token_file = \"/ns\"\n[runners.cc", 1)
	cfg, err := parse("/etc/p/f.toml", text, 0o644, world(
		map[string]string{"NAME": "n", "CC_1": "in-env", "EMPTY": ""},
		map[string]string{"/etc/p/tokens/n": "from-file\r\n\n", "/abs": "watch", "/ns": "attributes\n"}))
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Runners[0]
	for what, got := range map[string][2]string{
		"name": {r.Name, "n-1"}, "token": {r.Token.Reveal(), "from-file"}, "cc_token": {r.Clever.Token.Reveal(), "x-in-env-y"},
		"cc_orga_id": {r.Clever.OrgaID, "${NAME}$x"}, "watch": {r.TraceWatch.Token.Reveal(), "watch"}, "env": {r.Clever.ExtraEnv["CC_ENABLE_HEPTAPOD_RUNNER"], "in-env"},
		"attributes": {r.Clever.NamespaceToken.Reveal(), "attributes"}, "forwarded name": {r.Forward["name"].(string), "n-1"},
		"forwarded part": {r.Forward["docker"].(map[string]any)["image"].(string), "${KEEP}"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %q, want %q", what, got[0], got[1])
		}
	}
	if want := "/etc/p/f.toml:13: cc_gitlab_namespace_attributes_token_file: has no effect: it is for cc_multi_tenant = true"; strings.Join(cfg.Warnings, "\n") != want {
		t.Errorf("a file without secrets that all may read: %q", cfg.Warnings)
	}
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	d := world(map[string]string{"EMPTY": "", "LINES": "CANARY\nb", "BLANK": "CANARY b"},
		map[string]string{"/empty": "\n", "/lines": "CANARY\nb\n", "/blank": " CANARY\n", "/binary": "CANARY\x01"})
	for line, want := range map[string]string{
		`cc_token = "${NO_SUCH}"`:                      "the environment variable NO_SUCH is not set",
		`cc_token = "${}"`:                             "a ${...} that names no environment variable; write $${...} for these very characters",
		`cc_token = "${a-b}"`:                          "a ${...} that names no environment variable; write $${...} for these very characters",
		`cc_token = "${EMPTY}"`:                        "empty; a token is required",
		`cc_token = ""`:                                "empty; a token is required",
		`cc_token = "${LINES}"`:                        "holds several lines, want one",
		`cc_token = "${BLANK}"`:                        "holds white space or a character that can't be printed",
		`cc_token = 31415926`:                          "found a number, want a string",
		`cc_token = true`:                              "found true or false, want a string",
		`cc_token_file = "/no/such"`:                   "open /no/such: file does not exist",
		`cc_token_file = "/empty"`:                     "/empty is empty; a token is required",
		`cc_token_file = "/lines"`:                     "holds several lines, want one",
		`cc_token_file = "/blank"`:                     "holds white space or a character that can't be printed",
		`cc_token_file = "/binary"`:                    "holds white space or a character that can't be printed",
		`cc_token_file = ""`:                           "empty; want the path of a file",
		`cc_token_file = "${NO_SUCH}/x"`:               "the environment variable NO_SUCH is not set",
		"cc_token = \"CANARY\"\ncc_token_file = \"x\"": "line 12 has cc_token, which says the same; keep one of them",
	} {
		_, err := parse("f", head+instead(section, `cc_token = "c"`, line), 0o600, d)
		last := line[strings.LastIndex(line, "\n")+1:]
		at := 12 + strings.Count(line, "\n")
		if want := fmt.Sprintf("f:%d: %s: %s", at, last[:strings.Index(last, " ")], want); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, make([]byte, maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(path); err == nil || !strings.Contains(err.Error(), "longer than 64 KiB") {
		t.Errorf("got %v", err)
	}
	if _, err := readSecret(filepath.Dir(path)); err == nil {
		t.Error("a folder was read")
	}
	if _, err := readSecret("/dev/zero"); err == nil {
		t.Error("a file without end was read")
	}
}

// No secret is printed, neither in a configuration nor in what is said about one (I7).
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	watch := "[runners.job_trace_watch]\ntoken = \"CANARY-3\"\n"
	text := "paas_listen_token = \"CANARY-0\"\n" + head + strings.NewReplacer(`"t"`, `"CANARY-1"`, `"c"`, "\"CANARY-2\"\ncc_gitlab_namespace_attributes_token = \"CANARY-4\"").Replace(section) + watch
	cfg := mustRead(t, text)
	if cfg.Runners[0].Token.Reveal() != "CANARY-1" || cfg.Runners[0].Clever.NamespaceToken.Reveal() != "CANARY-4" {
		t.Fatal("the secrets were not read")
	}
	for _, form := range []string{"%v", "%+v", "%#v"} {
		if out := fmt.Sprintf(form, *cfg) + fmt.Sprintf(form, cfg.Runners); strings.Contains(out, "CANARY") {
			t.Errorf("%s prints a secret: %s", form, out)
		}
	}
	for _, bad := range []string{text + section + section, "concurrent = -1\n" + text, strings.ReplaceAll(text, "CANARY", "CANARY "), strings.ReplaceAll(text, `"CANARY`, `["CANARY`), strings.ReplaceAll(text, "token", "toekn")} {
		if _, err := read(bad); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%v", err)
		}
	}
}
