// SPDX-License-Identifier: Apache-2.0

// Package manual writes a program's man page and shell completions from the model of its
// command line, so that they say what --help says. It knows nothing of what the programs
// do. The one idea: nothing is written twice, so nothing can rot.
package manual

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Page is what a man page has that the command line does not know.
type Page struct {
	Name     string // one line below NAME
	Version  string
	Sections []Section // at the end
}

// Section is one more section of a man page: paragraphs, and indented blocks.
type Section struct{ Title, Text string }

// Man writes the man page of a program, in section 1.
func Man(app *kong.Application, page Page) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" %q \"User Commands\"\n", strings.ToUpper(roff(app.Name)), app.Name+" "+page.Version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", roff(app.Name), roff(page.Name))
	leaves := leavesOf(app.Node)
	for i, n := range leaves {
		if i > 0 {
			b.WriteString(".br\n")
		}
		fmt.Fprintf(&b, ".B %s\n", roff(synopsis(app, n)))
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(app.Help))
	prose(&b, app.Detail)
	b.WriteString(".SH OPTIONS\n")
	flags(&b, app.Flags)
	if len(leaves) > 1 {
		b.WriteString(".SH COMMANDS\n")
		for _, n := range leaves {
			fmt.Fprintf(&b, ".SS %s\n%s\n", roff(strings.TrimPrefix(n.Path(), app.Name+" ")), roff(n.Help))
			prose(&b, n.Detail)
			flags(&b, n.Flags)
		}
	}
	for _, s := range page.Sections {
		fmt.Fprintf(&b, ".SH %s\n", s.Title)
		prose(&b, s.Text)
	}
	return b.String()
}

// synopsis is one way to call the program.
func synopsis(app *kong.Application, n *kong.Node) string {
	return app.Name + " " + strings.TrimSpace(strings.TrimPrefix(n.Summary(), app.Name))
}

// leavesOf gives the commands that can be run, or the program itself when it has none.
func leavesOf(n *kong.Node) []*kong.Node {
	var out []*kong.Node
	for _, child := range n.Children {
		if !child.Hidden {
			out = append(out, leavesOf(child)...)
		}
	}
	if len(out) == 0 {
		return []*kong.Node{n}
	}
	return out
}

func flags(b *strings.Builder, all []*kong.Flag) {
	group := ""
	for _, f := range all {
		if f.Hidden {
			continue
		}
		if f.Group != nil && f.Group.Title != group {
			group = f.Group.Title
			fmt.Fprintf(b, ".PP\n%s\n", roff(group))
		}
		names := "--" + f.Name
		if f.Short != 0 {
			names = fmt.Sprintf("-%c, %s", f.Short, names)
		}
		if !f.IsBool() {
			names += "=" + f.FormatPlaceHolder()
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(names), roff(f.Help))
	}
}

// prose writes paragraphs; what is indented by four blanks stays as it is.
func prose(b *strings.Builder, text string) {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.TrimSpace(block) == "":
		case strings.HasPrefix(block, "    "):
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(block))
		default:
			fmt.Fprintf(b, ".PP\n%s\n", roff(block))
		}
	}
}

// roff makes plain text safe for a man page.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
