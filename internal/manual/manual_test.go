// SPDX-License-Identifier: Apache-2.0

package manual_test

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/manual"
)

// line is a command line with one of everything.
type line struct {
	Level string `short:"l" placeholder:"LEVEL" help:"It's \\ a level."`

	Do struct {
		File string `arg:"" help:"What to do it to."`
		Fast bool   `help:".fast, with a dot."`
	} `cmd:"" help:"Does it."`
	Sim struct {
		One struct{} `cmd:"" help:"The first."`
	} `cmd:"" help:"Pretends."`
	Man struct{} `cmd:"" hidden:"" help:"Nobody shall see it."`
}

// Help is the text below the list of commands.
func (line) Help() string {
	return "What it is.\n\n    prog do x\n    .strange\n\n'quoted."
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&line{}, kong.Name("prog"), kong.Description("Makes an example."))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

func TestMan(t *testing.T) {
	t.Parallel()
	got := manual.Man(model(t), manual.Page{Name: "an example", Version: "1.2", Sections: []manual.Section{{Title: "FILES", Text: "/etc/x: a file."}}})
	want := `.TH PROG 1 "" "prog 1.2" "User Commands"
.SH NAME
prog \- an example
.SH SYNOPSIS
.B prog do <file> [flags]
.br
.B prog sim one
.SH DESCRIPTION
Makes an example.
.PP
What it is.
.PP
.nf
    prog do x
    .strange
.fi
.PP
\&'quoted.
.SH OPTIONS
.TP
.B \-h, \-\-help
Show context\-sensitive help.
.TP
.B \-l, \-\-level=LEVEL
It's \e a level.
.SH COMMANDS
.SS do
Does it.
.TP
.B \-\-fast
\&.fast, with a dot.
.SS sim one
The first.
.SH FILES
.PP
/etc/x: a file.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for shell, all := range map[string][]string{
		"bash": {"'') words='do sim --help --level' ;;", "' do') path='do' ;;", "'sim one') path='sim one' ;;", "'do') words='--fast --help --level' ;;", "complete -o default -F _prog prog\n"},
		"zsh":  {"#compdef prog\n", "bashcompinit"},
		"fish": {"complete -c prog -n __fish_use_subcommand -a do -d 'Does it.'", "-l level -s l -r -d 'It\\'s \\\\ a level.'", "'__fish_seen_subcommand_from do' -l fast -d"},
	} {
		got, err := manual.Complete(model(t), shell)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range all {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", shell, want, got)
			}
		}
		if strings.Contains(got, "Nobody") || strings.Contains(got, " man") {
			t.Errorf("%s shows what is hidden:\n%s", shell, got)
		}
	}
	if got, err := manual.Complete(model(t), "tcsh"); err == nil {
		t.Errorf("tcsh got %q", got)
	}
}
