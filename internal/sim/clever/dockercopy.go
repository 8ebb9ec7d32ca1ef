// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// copy puts pushed files on the machine.
func (m *image) copy(arg string, files *snapshot) error {
	words, err := copyWords(arg)
	if err != nil {
		return err
	}
	mode := uint64(0)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		flag, value, _ := strings.Cut(words[0], "=")
		words = words[1:]
		switch flag {
		case "--from":
			return fmt.Errorf("--from=%s: other images are not simulated", value)
		case "--chmod":
			if mode, err = strconv.ParseUint(value, 8, 32); err != nil {
				return fmt.Errorf("--chmod=%s: want an octal number", value)
			}
		case "--chown", "--link":
		default:
			return fmt.Errorf("%s: not simulated", flag)
		}
	}
	if len(words) < 2 {
		return errors.New("want at least one source and a destination")
	}
	sources, to := words[:len(words)-1], words[len(words)-1]
	directory := strings.HasSuffix(to, "/") || to == "."
	if len(sources) > 1 && !directory {
		return errors.New("several sources need a destination that ends with /")
	}
	if !path.IsAbs(to) {
		to = path.Join(m.workdir, to)
	}
	for _, source := range sources {
		if err := m.copyOne(source, to, directory, mode, files); err != nil {
			return err
		}
	}
	return nil
}

// copyOne puts the files that one source names at their places: a file, a
// pattern, or a folder whose content is copied.
func (m *image) copyOne(source, to string, directory bool, mode uint64, files *snapshot) error {
	source = strings.TrimPrefix(path.Clean("/"+source), "/")
	found := false
	for name, f := range files.files {
		target := to
		if matched, err := path.Match(source, name); err != nil {
			return fmt.Errorf("source %q: %w", source, err)
		} else if matched {
			if directory {
				target = path.Join(to, path.Base(name))
			}
		} else if inside, ok := strings.CutPrefix(name, source+"/"); ok || source == "" {
			if source == "" {
				inside = name
			}
			target = path.Join(to, inside)
		} else {
			continue
		}
		found = true
		m.files[target] = f.data
		if f.executable && mode == 0 || mode&0o111 != 0 {
			m.executable[target] = true
		}
	}
	if !found {
		return fmt.Errorf("source %q was not pushed", source)
	}
	return nil
}

func copyWords(arg string) ([]string, error) {
	flags, rest := "", arg
	for strings.HasPrefix(rest, "--") {
		flag, tail, _ := strings.Cut(rest, " ")
		flags, rest = flags+" "+flag, strings.TrimSpace(tail)
	}
	if !strings.HasPrefix(rest, "[") {
		return splitWords(arg)
	}
	var words []string
	if err := json.Unmarshal([]byte(rest), &words); err != nil {
		return nil, fmt.Errorf("JSON form: %w", err)
	}
	return append(strings.Fields(flags), words...), nil
}

// splitWords splits at blanks outside quotes; a backslash takes the next
// character as it is.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	escaped := false
	for _, c := range text {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, open = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteRune(c)
			open = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("unfinished quote in %q", text)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
