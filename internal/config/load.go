// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds what is read as a configuration.
const maxFile = 1 << 20

// Load reads and checks a file. The error is an *Error with every problem, or says that
// the file can't be read at all.
func Load(path string) (*Config, error) {
	text, mode, err := readAll(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, text, mode, outside())
}

// outside is what files refer to outside of tests.
func outside() deps { return deps{env: os.LookupEnv, read: readSecret, load: readAll, mode: modeOf} }

func modeOf(path string) (os.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

func readAll(path string) (string, os.FileMode, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	if info.IsDir() {
		return "", 0, fmt.Errorf("%s is a folder", path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return string(raw), info.Mode(), err
}

// parse does all of Load but for opening the file itself.
func parse(path, text string, mode os.FileMode, d deps) (*Config, error) {
	f := &file{path: path, deps: d}
	cfg := f.parse(text)
	if f.openSecret != "" && mode.Perm()&0o004 != 0 {
		f.warn(f.openSecret, "", "the file is readable by others (mode %04o), and here it holds a secret: chmod 600 it, or put the secret into a file of its own", mode.Perm())
	}
	if cfg != nil {
		cfg.Warnings, cfg.at = texts(inOrder(f.warnings)), f.at
	}
	if len(f.problems) > 0 {
		return nil, &Error{inOrder(f.problems), cfg}
	}
	return cfg, nil
}

// parse reads a text as far as it can be read, and notes what is wrong with it. The result
// is nil when it is no TOML.
func (f *file) parse(text string) *Config {
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		problem := syntax(f.path, err)
		problem.Text += before(text, problem)
		f.problems = []Problem{problem}
		return nil
	}
	f.at = scan(text)
	return f.config(f.reader(secGlobal, "", table))
}

// Parts of the parser's messages that repeat the file's text, which may be a secret.
var (
	repeated = regexp.MustCompile(`"[^"]+"`)
	number   = regexp.MustCompile(`^\S+ is out of range`)
)

// index is that of an element of a list in a path; twice is how the parser names a key that
// stands there a second time.
var (
	index = regexp.MustCompile(`\[\d+\]`)
	twice = regexp.MustCompile(`Key '(.+)' has already been defined$`)
)

// before is " in line N" for a key that stands in the file a second time, when it is found.
func before(text string, p Problem) string {
	key := twice.FindStringSubmatch(p.Text)
	if key == nil {
		return ""
	}
	lines := strings.SplitAfter(text, "\n")
	line := 0
	for path, at := range scan(strings.Join(lines[:min(p.Line-1, len(lines))], "")) {
		if index.ReplaceAllString(path, "") == key[1] {
			line = max(line, at)
		}
	}
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" in line %d", line)
}

// syntax says where a file is no TOML.
func syntax(path string, err error) Problem {
	p := Problem{Path: path, Line: 1}
	message := err.Error()
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		p.Line, p.Key, message = max(1, at.Position.Line), at.LastKey, at.Message
	}
	message = number.ReplaceAllString(message, "the number is out of range")
	if strings.HasPrefix(message, "expected value but found") {
		message = "this is no value; text stands in quotes, and it is true and false in small letters"
	}
	message = strings.TrimSuffix(repeated.ReplaceAllString(message, "what stands here"), ".")
	p.Text = "not valid TOML: " + message
	return p
}
