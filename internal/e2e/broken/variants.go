// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed mistakes/*.txt
var mistakes embed.FS

// variant is one mistake.
type variant struct {
	name   string
	breaks string // the invariant
	about  string
	edits  []edit
}

type edit struct{ file, old, now string }

// variants reads the mistakes, each in a file of its name:
//
//	I2: what is wrong
//	@@ the file that it is in
//	whole lines of that file
//	=>
//	what stands there instead, and asks broken("name")
func variants() ([]variant, error) {
	files, err := fs.Glob(mistakes, "mistakes/*.txt")
	if err != nil {
		return nil, fmt.Errorf("list the mistakes: %w", err)
	}
	var out []variant
	for _, file := range files {
		text, err := fs.ReadFile(mistakes, file)
		if err != nil {
			return nil, fmt.Errorf("read a mistake: %w", err)
		}
		v, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		v.name = strings.TrimSuffix(path.Base(file), ".txt")
		out = append(out, v)
	}
	return out, nil
}

func parse(text string) (variant, error) {
	head, rest, _ := strings.Cut(text, "\n")
	breaks, about, ok := strings.Cut(head, ": ")
	if !ok {
		return variant{}, fmt.Errorf("%q: want an invariant, a colon and a sentence", head)
	}
	v := variant{breaks: breaks, about: about}
	for part := range strings.SplitSeq("\n"+strings.TrimSuffix(rest, "\n"), "\n@@ ") {
		if part == "" {
			continue // what is before the first
		}
		file, change, _ := strings.Cut(part, "\n")
		old, now, ok := strings.Cut(change, "\n=>\n")
		if !ok {
			return variant{}, fmt.Errorf("%s: want lines, => and lines", file)
		}
		v.edits = append(v.edits, edit{file, old + "\n", now + "\n"})
	}
	return v, nil
}
