// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Complete writes what a shell (bash, zsh or fish) needs to complete the program's
// command line: commands and options; everything else is completed as a file.
func Complete(app *kong.Application, shell string) (string, error) {
	switch shell {
	case "bash":
		return bash(app), nil
	case "zsh":
		return zsh(app), nil
	case "fish":
		return fish(app), nil
	}
	return "", fmt.Errorf("shell %q is not one of bash, zsh, fish", shell)
}

// words are the commands below a node and the options that are good there.
func words(n *kong.Node) []string {
	var out []string
	for _, child := range n.Children {
		if !child.Hidden {
			out = append(out, child.Name)
		}
	}
	for at := n; at != nil; at = at.Parent {
		for _, f := range at.Flags {
			if !f.Hidden {
				out = append(out, "--"+f.Name)
			}
		}
	}
	return out
}

// walk calls f for a node and all commands below it, with the commands that lead there.
func walk(n *kong.Node, path string, f func(path string, n *kong.Node)) {
	f(path, n)
	for _, child := range n.Children {
		if !child.Hidden {
			walk(child, strings.TrimSpace(path+" "+child.Name), f)
		}
	}
}

// function is the name of the function that completes in bash and zsh.
func function(app *kong.Application) string { return "_" + strings.ReplaceAll(app.Name, "-", "_") }

// zsh runs what is written for bash. It loads the file at the first completion, as a
// function of the file's name, and that one has to be answered too.
func zsh(app *kong.Application) string {
	return fmt.Sprintf("#compdef %s\nautoload -U +X bashcompinit && bashcompinit\n%s"+
		"if [ \"$funcstack[1]\" = _%[1]s ]; then _bash_complete -o default -F %[3]s; fi\n", app.Name, bash(app), function(app))
}

func bash(app *kong.Application) string {
	name := function(app)
	var b strings.Builder
	fmt.Fprintf(&b, "%s() {\n\tlocal word path='' words=''\n", name)
	b.WriteString("\tfor word in \"${COMP_WORDS[@]:1:$((COMP_CWORD-1))}\"; do\n\t\tcase \"$path $word\" in\n")
	walk(app.Node, "", func(path string, _ *kong.Node) {
		if path != "" {
			parent, last := "", path
			if i := strings.LastIndex(path, " "); i >= 0 {
				parent, last = path[:i], path[i+1:]
			}
			fmt.Fprintf(&b, "\t\t'%s %s') path='%s' ;;\n", parent, last, path)
		}
	})
	b.WriteString("\t\tesac\n\tdone\n\tcase \"$path\" in\n")
	walk(app.Node, "", func(path string, n *kong.Node) {
		fmt.Fprintf(&b, "\t'%s') words='%s' ;;\n", path, strings.Join(words(n), " "))
	})
	b.WriteString("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n")
	fmt.Fprintf(&b, "complete -o default -F %s %s\n", name, app.Name)
	return b.String()
}

func fish(app *kong.Application) string {
	var b strings.Builder
	walk(app.Node, "", func(path string, n *kong.Node) {
		when := ""
		if path != "" {
			when = " -n '__fish_seen_subcommand_from " + path[strings.LastIndex(path, " ")+1:] + "'"
		} else if len(n.Children) > 0 {
			when = " -n __fish_use_subcommand"
		}
		for _, child := range n.Children {
			if !child.Hidden {
				fmt.Fprintf(&b, "complete -c %s%s -a %s -d %s\n", app.Name, when, child.Name, quote(child.Help))
			}
		}
		if path == "" {
			when = "" // good everywhere
		}
		for _, f := range n.Flags {
			if f.Hidden {
				continue
			}
			line := fmt.Sprintf("complete -c %s%s -l %s", app.Name, when, f.Name)
			if f.Short != 0 {
				line += fmt.Sprintf(" -s %c", f.Short)
			}
			if !f.IsBool() {
				line += " -r"
			}
			fmt.Fprintf(&b, "%s -d %s\n", line, quote(f.Help))
		}
	})
	return b.String()
}

func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
