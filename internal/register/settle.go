// SPDX-License-Identifier: Apache-2.0

package register

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"heptapod-paas-runner/internal/secret"
)

// UsageError is a command line that can't be used.
type UsageError struct {
	Problems []string
}

// Error implements error: one problem a line.
func (e *UsageError) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0]
	}
	return fmt.Sprintf("%d things are wrong or missing:\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

func usage(format string, args ...any) error {
	return &UsageError{[]string{fmt.Sprintf(format, args...)}}
}

// settle brings the options into one form: where they come from and how they are spelled
// does not matter afterwards.
func (r *Registrar) settle() error {
	o := &r.cfg.Options
	urls, files := []string{o.URL}, []string{o.File}
	for _, value := range o.Config {
		// -c is the coordinator's URL in one world and the file in the other.
		if strings.Contains(value, "://") {
			urls = append(urls, value)
		} else {
			files = append(files, value)
		}
	}
	var err error
	if o.URL, err = theOne("coordinators", "", urls); err != nil {
		return err
	}
	if r.file, err = theOne("configuration files", " (a -c that is meant as the coordinator begins with https://)", files); err != nil {
		return err
	}
	if r.file == "" {
		r.file, _ = r.Env("CONFIG_FILE")
	}
	if err := o.fromEnvironment(r.Env); err != nil {
		return err
	}
	if strings.HasPrefix(o.RegistrationToken.Reveal(), authentication) && o.Token.Empty() {
		o.Token, o.RegistrationToken = o.RegistrationToken, secret.String{} // as gitlab-runner takes it
	}
	return o.conflicts()
}

// authentication is what the tokens of runners begin with that were made at the
// coordinator.
const authentication = "glrt-"

// theOne gives the one value of a list of which all but one are empty or the same.
func theOne(what, why string, values []string) (string, error) {
	values = slices.DeleteFunc(values, func(s string) bool { return strings.TrimSpace(s) == "" })
	values = slices.Compact(values)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", usage("two %s: %s; name one%s", what, strings.Join(values, " and "), why)
}

// fromEnvironment fills in what the command line does not say. An empty variable says
// nothing.
func (o *Options) fromEnvironment(env func(string) (string, bool)) error {
	for _, s := range o.settings() {
		value, _ := env(s.env)
		value = strings.TrimSpace(value)
		switch {
		case value == "":
		case s.text != nil && *s.text == "":
			*s.text = value
		case s.secret != nil && s.secret.Empty():
			*s.secret = secret.New(value)
		case s.yes != nil && *s.yes == nil:
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return usage("%s: found %q, want true or false", s.env, value)
			}
			*s.yes = &yes
		}
	}
	return nil
}

// conflicts finds options that exclude each other.
func (o *Options) conflicts() error {
	var problems []string
	both := func(first, second string, bad bool) {
		if bad {
			problems = append(problems, fmt.Sprintf("%s and %s exclude each other", first, second))
		}
	}
	both("--token ($CI_SERVER_TOKEN)", "--registration-token ($REGISTRATION_TOKEN)", !o.Token.Empty() && !o.RegistrationToken.Empty())
	both("--cc-token ($CC_TOKEN)", "--cc-token-file ($CC_TOKEN_FILE)", !o.CCToken.Empty() && o.CCTokenFile != "")
	both("--cc-multi-tenant ($CC_MULTI_TENANT)", "--cc-orga-id ($CC_ORGA_ID)", is(o.CCMultiTenant) && o.CCOrgaID != "")
	both("--cc-multi-tenant ($CC_MULTI_TENANT)", "--cc-token ($CC_TOKEN)", is(o.CCMultiTenant) && !(o.CCToken.Empty() && o.CCTokenFile == ""))
	if (o.TLSCertFile == "") != (o.TLSKeyFile == "") {
		problems = append(problems, "--tls-cert-file and --tls-key-file go together; one is missing")
	}
	if strings.HasPrefix(o.Token.Reveal(), authentication) {
		problems = append(problems, o.reserved(authentication+"... token")...)
	}
	if level := o.AccessLevel; level != "" && level != "not_protected" && level != "ref_protected" {
		problems = append(problems, fmt.Sprintf("--access-level ($REGISTER_ACCESS_LEVEL): found %q, want not_protected or ref_protected", level))
	}
	for option, value := range map[string]string{"--maximum-timeout ($REGISTER_MAXIMUM_TIMEOUT)": o.MaximumTimeout, "--limit ($RUNNER_LIMIT)": o.Limit} {
		if n, err := strconv.Atoi(value); value != "" && (err != nil || n < 0) {
			problems = append(problems, fmt.Sprintf("%s: found %q, want a whole number", option, value))
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return &UsageError{problems}
	}
	return nil
}

// reserved names the options that a runner can't be given here when it was made at the
// coordinator. One that asks for nothing is no matter.
func (o *Options) reserved(what string) []string {
	var out []string
	for _, s := range o.settings() {
		set := s.text != nil && *s.text != "" && *s.text != "0" || s.yes != nil && *s.yes != nil && (**s.yes || s.option == "--locked")
		if s.reserved && set {
			out = append(out, fmt.Sprintf("%s ($%s) can't go with a %s: it is set at the coordinator, where the runner was made", s.option, s.env, what))
		}
	}
	return out
}

func is(b *bool) bool { return b != nil && *b }
