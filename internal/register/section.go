// SPDX-License-Identifier: Apache-2.0

package register

import (
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
)

// defaultImage is for jobs that name no image.
const defaultImage = "debian:bookworm"

// readTemplate reads the template, when there is one.
func (r *Registrar) readTemplate() error {
	path := r.cfg.TemplateConfig
	if path == "" {
		return nil
	}
	section, ignored, err := config.Template(path)
	if err != nil {
		return err
	}
	if len(ignored) > 0 {
		r.Console.Say("%s: only [[runners]] is taken from a template; without effect: %s", path, strings.Join(ignored, ", "))
	}
	r.template = section
	return nil
}

// templated gives a text of the template; "" when there is none.
func (r *Registrar) templated(key string) string {
	s, _ := r.template[key].(string)
	return strings.TrimSpace(s)
}

// section is the new section: what was said and answered, over what the template has.
func (r *Registrar) section(a *answers, token secret.String) (map[string]any, error) {
	o := r.cfg.Options
	out := maps.Clone(r.template)
	set := func(key, value string) {
		if value != "" && value != r.templated(key) {
			out[key] = value
		}
	}
	set("name", literally(a.name, r.templated("name")))
	set("url", literally(a.url, r.templated("url")))
	set("executor", a.executor)
	out["token"] = config.Literal(token.Reveal())
	for key, path := range map[string]string{
		"tls-ca-file": o.TLSCAFile, "tls-cert-file": o.TLSCertFile, "tls-key-file": o.TLSKeyFile, "cc_token_file": o.CCTokenFile,
	} {
		if path == "" {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		out[key] = config.Literal(absolute)
	}
	if o.Limit != "" {
		n, _ := strconv.ParseInt(o.Limit, 10, 64) // was checked
		out["limit"] = n
	}
	docker, isTable := out["docker"].(map[string]any)
	if _, there := out["docker"]; isTable || !there { // anything else is told when the whole is checked
		docker = merged(map[string]any{"image": defaultImage}, docker)
		if o.DockerImage != "" {
			docker["image"] = o.DockerImage
		}
		out["docker"] = docker
	}
	if a.executor == config.ExecutorClever {
		r.clever(a, out, set)
	}
	return out, nil
}

// clever sets the keys of clever-docker.
func (r *Registrar) clever(a *answers, out map[string]any, set func(key, value string)) {
	o := r.cfg.Options
	set("cc_api_url", o.CCAPIURL)
	set("cc_auth", o.CCAuth)
	set("cc_zone", o.CCZone)
	set("cc_default_flavor", o.CCDefaultFlavor)
	set("cc_max_flavor", o.CCMaxFlavor)
	var without []string
	if a.multi {
		out["cc_multi_tenant"] = true
		set("cc_gitlab_namespace_attributes_token", a.groups.Reveal())
		without = []string{"cc_orga_id", "cc_token", "cc_token_file"}
	} else {
		set("cc_orga_id", a.orga)
		set("cc_token", a.ccToken.Reveal())
		without = []string{"cc_multi_tenant"}
	}
	for _, key := range without {
		delete(out, key)
	}
	switch {
	case o.CCTokenFile != "":
		delete(out, "cc_token")
	case !o.CCToken.Empty():
		delete(out, "cc_token_file")
	}
	if !o.CCNamespaceToken.Empty() {
		delete(out, "cc_gitlab_namespace_attributes_token_file")
	}
	extra, _ := out["cc_extra_env"].(map[string]any)
	out["cc_extra_env"] = merged(map[string]any{"CC_ENABLE_HEPTAPOD_RUNNER": "true"}, extra)
}

// literally keeps ${...} in an answer from meaning the environment; in a template it does.
func literally(answer, template string) string {
	if answer == template {
		return answer
	}
	return config.Literal(answer)
}

// merged is what a table holds over what it holds without it.
func merged(base, over map[string]any) map[string]any {
	maps.Copy(base, over)
	return base
}
