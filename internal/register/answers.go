// SPDX-License-Identifier: Apache-2.0

package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
)

// answers is everything that has to be known before a coordinator is asked.
type answers struct {
	global          config.Global
	url, name       string
	executor        string
	multi           bool
	orga            string
	ccToken, groups secret.String // of Clever Cloud; for the groups' attributes
}

// defaultState is offered as the place of the state file.
const defaultState = "/var/lib/heptapod-paas-runner/state.db"

// answers finds out what is not said yet, in the order of the Python program. All that is
// lacking is told at once when nobody can be asked.
func (r *Registrar) answers(ctx context.Context, d *config.Draft) (*answers, error) {
	i := &interview{console: r.Console, silent: is(r.cfg.NonInteractive)}
	if r.file == "" {
		i.lacking = append(i.lacking, "CONFIG or --config ($CONFIG_FILE) is missing: the configuration file")
	}
	a := &answers{}
	for _, part := range []func(context.Context, *interview, *config.Draft, *answers) error{r.askGlobal, r.askRunner, r.askClever, r.askQuota} {
		if err := part(ctx, i, d, a); err != nil {
			return nil, err
		}
	}
	if len(i.lacking) > 0 {
		return nil, &UsageError{i.lacking}
	}
	return a, nil
}

// askGlobal asks for what a new file needs.
func (r *Registrar) askGlobal(ctx context.Context, i *interview, d *config.Draft, a *answers) (err error) {
	o, needs := r.cfg.Options, d.Needs()
	if d.New() && r.file != "" && !i.silent {
		r.Console.Say("%s does not exist; it will be made.", r.file)
	}
	if needs.StateFile {
		a.global.StateFile, err = i.know(ctx, question{
			option: "--state-file-path", env: "REGISTER_STATE_FILE_PATH", label: "State file path",
			value: o.StateFilePath, suggest: defaultState, check: checkText,
		})
		if err != nil {
			return err
		}
	}
	a.global.Concurrent = d.Concurrent()
	if needs.Concurrent {
		a.global.Concurrent, err = i.count(ctx, question{
			option: "--max-concurrency", env: "REGISTER_MAX_CONCURRENCY", label: "Concurrency (jobs at once over all runners)", value: o.MaxConcurrency,
		})
	}
	return err
}

// askRunner asks for what every section has.
func (r *Registrar) askRunner(ctx context.Context, i *interview, d *config.Draft, a *answers) (err error) {
	o := &r.cfg.Options
	a.url, err = i.know(ctx, question{
		option: "--url", env: "CI_SERVER_URL", label: "URL of the coordinator, such as https://heptapod.example.com",
		value: cmp.Or(o.URL, r.templated("url")), check: checkURL,
	})
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	a.name, err = i.know(ctx, question{
		option: "--name", env: "RUNNER_NAME", label: "Name of the runner",
		value: cmp.Or(o.Name, r.templated("name")), suggest: cmp.Or(d.Expected(), host), check: checkText,
		typed: func(name string) error {
			if line, there := d.Runner(name); there {
				return fmt.Errorf("the section in line %d of %s has this name already", line, r.file)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := r.askToken(ctx, i); err != nil {
		return err
	}
	a.executor, err = i.know(ctx, question{
		option: "--executor", env: "RUNNER_EXECUTOR", label: "Executor (" + strings.Join(config.Executors(), " or ") + ")",
		value: cmp.Or(o.Executor, r.templated("executor")), suggest: config.ExecutorClever, check: checkExecutor,
	})
	return err
}

// askToken asks for the token, of which kind it ever is. It is kept where it would have
// been without asking.
func (r *Registrar) askToken(ctx context.Context, i *interview) error {
	o := &r.cfg.Options
	if !o.Token.Empty() {
		if err := checkWord(o.Token.Reveal()); err != nil {
			return usage("--token ($CI_SERVER_TOKEN): %v", err)
		}
		return nil
	}
	token, err := i.know(ctx, question{
		option: "--token ($CI_SERVER_TOKEN) or --registration-token", env: "REGISTRATION_TOKEN", label: "Token of the runner (glrt-...), or a registration token",
		value: o.RegistrationToken.Reveal(), hidden: true, check: checkWord, typed: r.checkToken,
	})
	if o.RegistrationToken.Empty() {
		o.Token = secret.New(token)
	}
	return err
}

// checkToken refuses the token of a runner that was made at the coordinator when there
// are options that only a new runner can have.
func (r *Registrar) checkToken(token string) error {
	if !strings.HasPrefix(token, authentication) {
		return nil
	}
	if problems := r.cfg.reserved(authentication + "... token"); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}

// tenants is the answer that asks for the multi-tenant mode.
const tenants = "tenants"

// askClever asks who pays.
func (r *Registrar) askClever(ctx context.Context, i *interview, _ *config.Draft, a *answers) (err error) {
	o := r.cfg.Options
	if a.executor != config.ExecutorClever {
		return nil
	}
	multi, _ := r.template["cc_multi_tenant"].(bool)
	a.multi = is(o.CCMultiTenant) || o.CCMultiTenant == nil && o.CCOrgaID == "" && multi
	if !a.multi {
		a.orga, err = i.know(ctx, question{
			option: "--cc-orga-id", env: "CC_ORGA_ID", label: "Organisation of Clever Cloud that pays (orga_..., or \"" + tenants + "\": the one that each job's top-level group names)",
			value: cmp.Or(o.CCOrgaID, r.templated("cc_orga_id")), check: checkWord,
		})
		if err != nil {
			return err
		}
		a.multi = a.orga == tenants
	}
	if a.multi {
		if r.templated("cc_gitlab_namespace_attributes_token_file") != "" && o.CCNamespaceToken.Empty() {
			return nil
		}
		token, err := i.know(ctx, question{
			option: "--cc-gitlab-namespace-attributes-token", env: "CC_GITLAB_NAMESPACE_ATTRIBUTES_TOKEN", label: "An administrator's token that may read the attributes of groups",
			value: cmp.Or(o.CCNamespaceToken.Reveal(), r.templated("cc_gitlab_namespace_attributes_token")), hidden: true, check: checkWord,
		})
		a.groups = secret.New(token)
		return err
	}
	elsewhere := r.templated("cc_token_file") + r.templated("cc_oauth_token") + r.templated("cc_oauth_token_file")
	if o.CCTokenFile != "" || elsewhere != "" && o.CCToken.Empty() {
		return nil
	}
	token, err := i.know(ctx, question{
		option: "--cc-token", env: "CC_TOKEN", label: "Token of this organisation for Clever Cloud's API",
		value: cmp.Or(o.CCToken.Reveal(), r.templated("cc_token")), hidden: true, check: checkWord,
	})
	a.ccToken = secret.New(token)
	return err
}

// askQuota asks for what may run, and cost, at once. local-docker has one flavor, and
// what counts there is the number of jobs.
func (r *Registrar) askQuota(ctx context.Context, i *interview, d *config.Draft, a *answers) (err error) {
	if !d.Needs().Quota {
		return nil
	}
	o, jobs := r.cfg.Options, ""
	if a.global.Concurrent > 0 {
		jobs = strconv.Itoa(a.global.Concurrent)
	}
	if a.executor != config.ExecutorClever {
		a.global.Quota = config.Quota{ReferenceFlavor: config.DefaultFlavor, ReferenceJobs: a.global.Concurrent}
		return nil
	}
	a.global.Quota.ReferenceFlavor, err = i.know(ctx, question{
		option: "--quota-flavor", env: "REGISTER_QUOTA_FLAVOR", label: "Quota: the weight of so many jobs of which flavor",
		value: o.QuotaFlavor, suggest: config.DefaultFlavor, assumed: true, check: checkWord,
	})
	if err != nil {
		return err
	}
	a.global.Quota.ReferenceJobs, err = i.count(ctx, question{
		option: "--quota-jobs", env: "REGISTER_QUOTA_JOBS", label: "Quota: how many of them at once",
		value: o.QuotaJobs, suggest: jobs, assumed: true,
	})
	return err
}

// count knows a whole number; 0 when it is lacking.
func (i *interview) count(ctx context.Context, q question) (int, error) {
	q.check = checkCount
	text, err := i.know(ctx, q)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("want a whole number")
	}
	return n, nil
}
