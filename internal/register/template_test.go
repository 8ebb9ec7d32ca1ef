// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/register"
	"heptapod-paas-runner/internal/secret"
)

// What is said on the command line wins; the template fills up the rest, deep down.
func TestATemplateIsFilledUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(valid)
	template := filepath.Join(b.dir, "template.toml")
	if err := os.WriteFile(template, []byte(`concurrent = 50
[[runners]]
  name = "templated"
  url = "https://never.example"
  executor = "clever-docker"
  limit = 7
  environment = ["A=1"]
  cc_orga_id = "orga_t"
  cc_token = "${NOT_SET_ANYWHERE}"
  [runners.cc_extra_env]
    MORE = "x"
  [runners.docker]
    privileged = true
    [[runners.docker.services]]
      name = "postgres"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := b.run(register.Options{NonInteractive: yes(true), URL: b.url, Token: secret.New("glrt-t"), TemplateConfig: template, CCMaxFlavor: "XL", Limit: "9"})
	b.good(got)
	want := valid + `
[[runners]]
  name = "templated"
  url = "` + b.url + `"
  token = "glrt-t"
  executor = "clever-docker"
  limit = 9
  cc_orga_id = "orga_t"
  cc_token = "${NOT_SET_ANYWHERE}"
  cc_max_flavor = "XL"
  environment = ["A=1"]
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
    MORE = "x"
  [runners.docker]
    image = "debian:bookworm"
    privileged = true
    [[runners.docker.services]]
      name = "postgres"
`
	if diff := cmp.Diff(want, b.text()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(got.say, "without effect: concurrent") {
		t.Errorf("says %s", got.say)
	}
}

// A file keeps its mode; that it holds a secret now is told.
func TestAnOpenFileIsToldAbout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(valid)
	for mode, want := range map[os.FileMode]bool{0o644: true, 0o640: false} {
		if err := os.Chmod(b.file, mode); err != nil {
			t.Fatal(err)
		}
		o := b.newFile()
		o.Name = mode.String()
		o.StateFilePath, o.MaxConcurrency = "", ""
		got := b.run(o)
		b.good(got)
		if told := strings.Contains(got.say, "readable by others (mode 0644), and holds the runner's token now"); told != want {
			t.Errorf("mode %o: says %s", mode, got.say)
		}
	}
}

func TestTemplatesThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := filepath.Join(b.dir, "template.toml")
	for text, want := range map[string]struct {
		code int
		says string
	}{
		"[[runners]]\n[[runners]]\n":             {3, "found 2 sections, want one"},
		"x = 1\n":                                {3, "no [[runners]] section"},
		"[[runners]]\ntoken = \"t\"\n":           {3, ":2: token: a token belongs to one runner"},
		"[[runners]]\ncc_orga_it = \"t\"\n":      {3, "the new [[runners]] section: cc_orga_it: unknown key (did you mean cc_orga_id?)"},
		"[[runners]]\ndocker = \"t\"\n":          {3, "the new [[runners]] section: docker: found \"t\", want a table"},
		"[[runners]]\nstate_file = \"/state\"\n": {3, "state_file"},
	} {
		if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := b.newFile()
		o.TemplateConfig = template
		b.refused(text, b.run(o), want.code, want.says)
	}
	o := b.newFile()
	o.TemplateConfig = filepath.Join(b.dir, "none")
	b.refused("no template", b.run(o), 1, "read the template: open")
	if b.called() != "" || b.text() != "" {
		t.Errorf("called %s, wrote %s", b.called(), b.text())
	}
}

// A user of Clever Cloud stands in for the organisation's token.
func TestATemplateForAUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := filepath.Join(b.dir, "template.toml")
	if err := os.WriteFile(template, []byte("[[runners]]\ncc_auth = \"oauth1\"\ncc_consumer_key = \"k\"\ncc_consumer_secret = \"s\"\ncc_oauth_token = \"t\"\ncc_oauth_secret = \"s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := b.newFile()
	o.Executor, o.CCOrgaID, o.TemplateConfig = "clever-docker", "orga_1", template
	b.good(b.run(o))
	if c := b.load().Runners[0].Clever; !c.Token.Empty() || c.Auth.OAuthToken.Reveal() != "t" {
		t.Errorf("%+v", c)
	}
	o.TemplateConfig, o.Name, o.CCAuth, o.CCToken = "", "two", "bearer", secret.New("b")
	b.good(b.run(o))
	if c := b.load().Runners[1].Clever; c.Token.Reveal() != "b" || c.Auth.Scheme != config.AuthBearer {
		t.Errorf("%+v", c)
	}
}

// A template may choose the multi-tenant mode, and the command line another payer.
func TestATemplateForTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := filepath.Join(b.dir, "template.toml")
	if err := os.WriteFile(template, []byte("[[runners]]\nexecutor = \"clever-docker\"\ncc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"${T}\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := b.newFile()
	o.Executor, o.TemplateConfig = "", template
	b.good(b.run(o))
	if text := b.text(); !strings.Contains(text, "cc_multi_tenant = true") || !strings.Contains(text, `cc_gitlab_namespace_attributes_token = "${T}"`) {
		t.Error(text)
	}
	o.Name, o.CCOrgaID, o.CCToken = "two", "orga_2", secret.New("t")
	b.good(b.run(o))
	_, second, _ := strings.Cut(b.text(), `name = "two"`)
	if strings.Contains(second, "multi_tenant") || !strings.Contains(second, `cc_orga_id = "orga_2"`) {
		t.Error(second)
	}
}
