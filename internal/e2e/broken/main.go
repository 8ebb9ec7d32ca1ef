// SPDX-License-Identifier: Apache-2.0

// Command broken prepares a build of the simulation that can be broken on purpose, to see
// that the checker notices. It is not part of the program, and nothing of it is in the
// program's sources: it writes changed copies of a few files and an overlay that makes the
// compiler take them. The one idea: each variant is a mistake that a person could make,
// written down in mistakes/ as the text that it replaces; when the text is gone, this fails.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// helper is the file that the variants ask whether they are switched on. The variable is
// read once: a hundred questions on the way of each call would cost as much as what is tried.
const helper = `package %s

import "os"

var switchedOn = os.Getenv("SIM_BREAK")

func broken(name string) bool { return switchedOn == name }
`

func main() {
	list := flag.Bool("list", false, "tell what each variant does")
	flag.Parse()
	if err := run(*list, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "broken:", err)
		os.Exit(1)
	}
}

func run(list bool, dir string) error {
	all, err := variants()
	if err != nil {
		return err
	}
	if list {
		for _, v := range all {
			fmt.Fprintf(os.Stdout, "%-25s %s %s\n", v.name, v.breaks, v.about)
		}
		return nil
	}
	if err := write(all, dir); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, names(all))
	return nil
}

// names lists the variants, with commas between.
func names(all []variant) string {
	var out []string
	for _, v := range all {
		out = append(out, v.name)
	}
	return strings.Join(out, ",")
}

// write puts the changed files and overlay.json into a folder. It is run in the module's
// root.
func write(all []variant, dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	changed, err := change(all, os.ReadFile)
	if err != nil {
		return err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range changed {
		from, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("find %s: %w", path, err)
		}
		to := filepath.Join(dir, strings.ReplaceAll(path, "/", "_")+".txt") // no Go file: the folder may be in the tree
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write a changed file: %w", err)
		}
		overlay.Replace[from] = to
	}
	text, err := json.MarshalIndent(overlay, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the overlay: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600); err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	return nil
}

// change applies all variants to the files they are about, and adds the helper to each
// package.
func change(all []variant, read func(string) ([]byte, error)) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range all {
		for _, e := range v.edits {
			text, ok := out[e.file]
			if !ok {
				raw, err := read(e.file)
				if err != nil {
					return nil, fmt.Errorf("variant %s: %w", v.name, err)
				}
				text = string(raw)
			}
			if n := strings.Count(text, e.old); n != 1 {
				return nil, fmt.Errorf("variant %s: the text that it replaces stands %d times in %s:\n%s", v.name, n, e.file, e.old)
			}
			out[e.file] = strings.Replace(text, e.old, e.now, 1)
		}
	}
	for path := range out {
		folder := filepath.Dir(path)
		out[folder+"/broken_on_purpose.go"] = fmt.Sprintf(helper, filepath.Base(folder))
	}
	return out, nil
}
