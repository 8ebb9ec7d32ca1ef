// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// image is what a Dockerfile makes of the pushed files: the files on the
// machine, the environment and the entry point. Nothing is really built.
type image struct {
	base       string
	workdir    string
	entrypoint []string
	cmd        []string
	argv       []string
	env        map[string]string
	files      map[string][]byte
	executable map[string]bool
}

// instruction is one logical line.
type instruction struct {
	line      int
	verb, arg string
}

// Instructions that change nothing of what is simulated.
func harmless(verb string) bool {
	return slices.Contains(strings.Fields("ARG LABEL EXPOSE USER STOPSIGNAL HEALTHCHECK MAINTAINER VOLUME SHELL"), verb)
}

// buildImage reads the Dockerfile of a pushed tree.
func buildImage(files *snapshot) (*image, error) {
	source, ok := files.files["Dockerfile"]
	if !ok {
		return nil, errors.New("no Dockerfile was pushed")
	}
	list, err := parseDockerfile(string(source.data))
	if err != nil {
		return nil, err
	}
	m := &image{workdir: "/", env: map[string]string{}, files: map[string][]byte{}, executable: map[string]bool{}}
	for _, in := range list {
		if err := m.apply(in, files); err != nil {
			return nil, fmt.Errorf("Dockerfile line %d: %s: %w", in.line, in.verb, err)
		}
	}
	if m.base == "" {
		return nil, errors.New("the Dockerfile has no FROM")
	}
	m.argv = append(slices.Clone(m.entrypoint), m.cmd...)
	if len(m.argv) == 0 {
		return nil, errors.New("the Dockerfile has neither ENTRYPOINT nor CMD, and the base image is not simulated")
	}
	return m, nil
}

// parseDockerfile joins continued lines and drops comments.
func parseDockerfile(text string) ([]instruction, error) {
	var list []instruction
	pending, start := "", 0
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if pending == "" {
			start = i + 1
		}
		if head, continued := strings.CutSuffix(trimmed, `\`); continued {
			pending += head + " "
			continue
		}
		verb, arg, _ := strings.Cut(pending+trimmed, " ")
		list = append(list, instruction{start, strings.ToUpper(verb), strings.TrimSpace(arg)})
		pending = ""
	}
	if strings.TrimSpace(pending) != "" {
		return nil, fmt.Errorf("Dockerfile line %d: the continued line never ends", start)
	}
	return list, nil
}

func (m *image) apply(in instruction, files *snapshot) error {
	if m.base == "" && in.verb != "FROM" && in.verb != "ARG" {
		return errors.New("the first instruction must be FROM")
	}
	switch in.verb {
	case "FROM":
		if m.base != "" {
			return errors.New("several stages are not simulated")
		}
		m.base = in.arg
		return nil
	case "COPY", "ADD":
		return m.copy(in.arg, files)
	case "ENV":
		return m.setEnv(in.arg)
	case "WORKDIR":
		m.workdir = path.Join(m.workdir, in.arg)
		return nil
	case "ENTRYPOINT", "CMD":
		argv, err := commandLine(in.arg)
		if in.verb == "ENTRYPOINT" {
			m.entrypoint, m.cmd = argv, nil
		} else {
			m.cmd = argv
		}
		return err
	}
	if harmless(in.verb) {
		return nil
	}
	return errors.New("not simulated")
}

// commandLine reads the exec form, or makes the shell form explicit.
func commandLine(arg string) ([]string, error) {
	if !strings.HasPrefix(arg, "[") {
		if arg == "" {
			return nil, errors.New("empty")
		}
		return []string{"/bin/sh", "-c", arg}, nil
	}
	var argv []string
	if err := json.Unmarshal([]byte(arg), &argv); err != nil {
		return nil, fmt.Errorf("exec form: %w", err)
	}
	if len(argv) == 0 {
		return nil, errors.New("empty")
	}
	return argv, nil
}

// setEnv reads `K=V K2="V 2"` and the old form `K V`.
func (m *image) setEnv(arg string) error {
	key, rest, found := strings.Cut(arg, " ")
	if !strings.Contains(key, "=") {
		if !found {
			return errors.New("want a name and a value")
		}
		m.env[key] = strings.TrimSpace(rest)
		return nil
	}
	words, err := splitWords(arg)
	if err != nil {
		return err
	}
	for _, w := range words {
		k, v, found := strings.Cut(w, "=")
		if !found || k == "" {
			return fmt.Errorf("%q is not NAME=VALUE", w)
		}
		m.env[k] = v
	}
	return nil
}
