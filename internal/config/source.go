// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"

	"heptapod-paas-runner/internal/secret"
)

// maxSecret bounds what is read as a secret.
const maxSecret = 64 << 10

// reference is ${NAME} in a text of ours, or $${NAME} for those very characters.
var reference = regexp.MustCompile(`\$?\$\{[^}]*\}`)

// variable is what may stand between the braces.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} by the environment variable of that name.
func (r *reader) expand(key, s string) (string, bool) {
	good := true
	out := reference.ReplaceAllStringFunc(s, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name := match[2 : len(match)-1]
		if !variable.MatchString(name) {
			good = false
			r.bad(key, "a ${...} that names no environment variable; write $${...} for these very characters")
			return ""
		}
		value, ok := r.file.deps.env(name)
		if !ok {
			good = false
			r.absent(key, "the environment variable %s is not set", name)
		}
		return value
	})
	return out, good
}

// secret takes a secret from its key, or from the file that the key with _file behind its
// name tells.
func (r *reader) secret(name string) secret.String {
	at, plain := r.take(name, Secret)
	fileKey := name + fileSuffix
	inFile, byFile := r.table[fileKey]
	r.taken[fileKey] = true
	switch {
	case plain && byFile:
		r.bad(fileKey, "line %d has %s, which says the same; keep one of them", r.line(at.name), at.name)
	case byFile:
		return r.secretFile(found{key: at.key, name: fileKey, value: inFile})
	case plain:
		return r.secretText(at)
	case at.key.Required:
		r.missing(name, fmt.Sprintf("set it, or %s to the path of a file that holds it", fileKey))
	}
	return secret.String{}
}

func (r *reader) secretText(at found) secret.String {
	raw, ok := at.value.(string)
	if !ok {
		r.bad(at.name, "found %s, want a string", kindOf(at.value))
		return secret.String{}
	}
	value, ok := r.expand(at.name, raw)
	if !ok {
		return secret.String{}
	}
	if raw != "" && !reference.MatchString(raw) && r.file.openSecret == "" {
		r.file.openSecret = r.full(at.name)
	}
	return r.checked(at, value, "")
}

func (r *reader) secretFile(at found) secret.String {
	path, ok := r.stringOf(at)
	if !ok {
		return secret.String{}
	}
	if path == "" {
		r.bad(at.name, "empty; want the path of a file")
		return secret.String{}
	}
	path = r.absolute(path)
	raw, err := r.file.deps.read(path)
	if err != nil {
		r.absent(at.name, "%v", err)
		return secret.String{}
	}
	if mode, open := r.file.deps.readable(path); open {
		r.warn(at.name, "%s is readable by others (mode %04o), and holds a secret: chmod 600 it", path, mode)
	}
	return r.checked(at, strings.TrimRight(string(raw), "\r\n"), path+" is ")
}

// checked is the one way by which a secret gets in: one line, no white space, nothing of
// it in a message.
func (r *reader) checked(at found, value, subject string) secret.String {
	switch {
	case value == "" && at.key.Required, value == "" && subject != "":
		r.bad(at.name, "%sempty; a token is required", subject)
	case strings.ContainsAny(value, "\r\n"):
		r.bad(at.name, "holds several lines, want one")
	case strings.ContainsFunc(value, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }):
		r.bad(at.name, "holds white space or a character that can't be printed")
	default:
		return secret.New(value)
	}
	return secret.String{}
}

// readSecret reads a secret's file: any kind of file, as long as it ends soon.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err == nil && len(raw) > maxSecret {
		err = errors.New("read " + path + ": longer than 64 KiB, this is no token")
	}
	return raw, err
}
