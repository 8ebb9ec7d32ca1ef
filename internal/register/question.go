// SPDX-License-Identifier: Apache-2.0

package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"heptapod-paas-runner/internal/config"
)

// question is one thing that has to be known.
type question struct {
	option, env string
	label       string
	value       string // what options, environment or template say
	suggest     string // taken when the answer is empty
	assumed     bool   // suggest is also taken when nobody can be asked
	hidden      bool
	check       func(string) error
	// typed is asked of answers only: what was said on purpose elsewhere may stand.
	typed func(string) error
}

// interview asks questions, or notes what can't be asked.
type interview struct {
	console *Console
	silent  bool // nobody is asked
	lacking []string
}

// know finds out the answer to a question. When nobody can be asked it may be empty, and
// is listed as lacking.
func (i *interview) know(ctx context.Context, q question) (string, error) {
	name := fmt.Sprintf("%s ($%s)", q.option, q.env)
	if q.value != "" {
		err := q.check(q.value)
		if err == nil {
			return q.value, nil
		}
		if i.silent {
			i.lacking = append(i.lacking, fmt.Sprintf("%s: %v", name, err))
			return "", nil
		}
		i.console.Say("%s: %v", q.option, err)
	}
	if i.silent {
		if q.assumed {
			return q.suggest, nil
		}
		i.lacking = append(i.lacking, fmt.Sprintf("%s is missing: %s", name, q.label))
		return "", nil
	}
	prompt := q.label + ": "
	if q.suggest != "" {
		prompt = fmt.Sprintf("%s [%s]: ", q.label, q.suggest)
	}
	for {
		answer, err := i.console.Ask(ctx, prompt, q.hidden)
		if errors.Is(err, errEnd) {
			return "", fmt.Errorf("the input ended before %q was answered; nothing is changed", q.label)
		}
		if errors.Is(err, context.Canceled) {
			return "", fmt.Errorf("%w; nothing is changed", interrupted{})
		}
		if err != nil {
			return "", err
		}
		answer = cmp.Or(answer, q.suggest)
		err = q.check(answer)
		if err == nil && q.typed != nil {
			err = q.typed(answer)
		}
		if err == nil {
			return answer, nil
		}
		i.console.Say("%v", err)
	}
}

// The checks of answers.

func checkText(s string) error {
	if s == "" {
		return errors.New("an answer is needed")
	}
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) || strings.Contains(s, "\ufffd") {
		return errors.New("holds a character that can't be printed")
	}
	return nil
}

func checkWord(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if strings.ContainsFunc(s, unicode.IsSpace) {
		return errors.New("holds white space")
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("want a URL such as https://heptapod.example.com") // what was found may hold a password
	}
	if u.User != nil {
		return errors.New("holds a user or password; a coordinator wants none")
	}
	return config.CheckURL(s)
}

const mostCount = 1_000_000_000

func checkCount(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > mostCount {
		return fmt.Errorf("found %q, want a whole number from 1", s)
	}
	return nil
}

func checkExecutor(s string) error {
	if s == "" {
		return fmt.Errorf("want one of: %s", strings.Join(config.Executors(), ", "))
	}
	return config.CheckExecutor(s)
}
