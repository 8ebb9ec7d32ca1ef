// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"heptapod-paas-runner/internal/api"
)

// auditCmd is `audit`.
type auditCmd struct {
	asking  `embed:""`
	Release bool    `xor:"what" help:"Release a blown fuse: unrecorded instances may be destroyed again."`
	Forget  *string `xor:"what" placeholder:"KEY" help:"Forget an instance that was kept: its weight is free, and it is never touched again."`
}

// Help is the text below the flags.
func (*auditCmd) Help() string {
	return `Puts everything that the clouds show as ours, or that looks like it, beside every record of the ledger, and says
for each what it is. Exit code 1 means that something is unexplained or that a cloud could not be listed; 4, that no
service answers.

Examples:

    heptapod-paas-runner audit --config paas.toml
    heptapod-paas-runner audit --config paas.toml --json | jq '.entries[] | select(.explained | not)'
    heptapod-paas-runner audit --config paas.toml --release`
}

// Run asks and prints.
func (c *auditCmd) Run(ctx context.Context, std streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	switch {
	case c.Release:
		return unreachable(client.Release(ctx))
	case c.Forget != nil && *c.Forget == "":
		return &exitError{codeUsage, errors.New("--forget needs the key of an instance")}
	case c.Forget != nil:
		return unreachable(client.Forget(ctx, *c.Forget))
	}
	found, err := client.Audit(ctx)
	if err != nil {
		return unreachable(err)
	}
	if c.JSON {
		err = std.json(found)
	} else {
		_, err = io.WriteString(std.out, auditText(found))
	}
	if err != nil {
		return err
	}
	switch {
	case found.Unexplained > 0:
		return fmt.Errorf("%s unexplained", count(found.Unexplained, "instance"))
	case found.ProvenAt == nil:
		return errors.New("nothing is proven: a cloud has not been listed yet")
	case len(found.Problems) > 0:
		return fmt.Errorf("%s can't be looked at", count(len(found.Problems), "tenant"))
	}
	return nil
}

// auditText is the comparison for people.
func auditText(a api.Audit) string {
	var b strings.Builder
	if a.ProvenAt != nil {
		fmt.Fprintf(&b, "instances without explanation: %d (clouds listed %s ago)\n", a.Unexplained, age(a.At, a.ProvenAt))
	}
	if a.Fuse != "" {
		fmt.Fprintf(&b, "FUSE BLOWN, nothing unrecorded is destroyed: %s\n", cell(a.Fuse))
	}
	for _, p := range a.Problems {
		fmt.Fprintf(&b, "can't be looked at: %s\n", cell(p))
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nKEY\tTENANT\tCLOUD\tLEDGER\tVERDICT")
	for _, e := range a.Entries {
		row := []string{e.Key, e.Tenant, dash(e.Cloud), dash(e.Ledger), e.Verdict}
		fmt.Fprintln(w, strings.Join(cells(row), "\t"))
	}
	_ = w.Flush() // into memory
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
