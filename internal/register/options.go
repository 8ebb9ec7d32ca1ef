// SPDX-License-Identifier: Apache-2.0

package register

import (
	"heptapod-paas-runner/internal/secret"
)

// Options are the options of the command line; the tags are kong's. What is empty is
// looked for in the environment, then in the template, and then asked for.
type Options struct {
	File   string   `arg:"" optional:"" name:"CONFIG" help:"The configuration file. It is made when there is none."`
	Config []string `short:"c" sep:"none" placeholder:"FILE|URL" help:"Another way to name the configuration file; -c with a URL is --url. ($$CONFIG_FILE)"`

	NonInteractive *bool `short:"n" help:"Ask nothing; end with exit code 2 when something is missing. ($$REGISTER_NON_INTERACTIVE)"`

	URL               string        `name:"url" short:"u" aliases:"coordinator-url" placeholder:"URL" help:"The coordinator: a GitLab or Heptapod server. ($$CI_SERVER_URL)" group:"The runner"`
	Token             secret.String `short:"t" placeholder:"TOKEN" help:"The runner's authentication token (glrt-...), as the coordinator shows it when a runner is made there. Tried as a registration token when it is none. ($$CI_SERVER_TOKEN)" group:"The runner"`
	RegistrationToken secret.String `short:"r" placeholder:"TOKEN" help:"A registration token: the coordinator makes a new runner. ($$REGISTRATION_TOKEN)" group:"The runner"`
	Name              string        `aliases:"description" placeholder:"NAME" help:"Name of the section, and description of a new runner. ($$RUNNER_NAME)" group:"The runner"`
	Executor          string        `short:"e" placeholder:"NAME" help:"clever-docker or local-docker. ($$RUNNER_EXECUTOR)" group:"The runner"`
	Limit             string        `placeholder:"N" help:"Jobs of this runner at once; 0 = no limit of its own. ($$RUNNER_LIMIT)" group:"The runner"`
	TemplateConfig    string        `placeholder:"FILE" help:"File with one [[runners]] section, which is filled up with what is given here. ($$TEMPLATE_CONFIG_FILE)" group:"The runner"`
	DockerImage       string        `placeholder:"IMAGE" help:"Image of jobs that name none (default: debian:bookworm). ($$DOCKER_IMAGE)" group:"The runner"`
	TLSCAFile         string        `name:"tls-ca-file" placeholder:"FILE" help:"Certificates that are trusted besides the system's. ($$CI_SERVER_TLS_CA_FILE)" group:"The runner"`
	TLSCertFile       string        `name:"tls-cert-file" placeholder:"FILE" help:"Client certificate. ($$CI_SERVER_TLS_CERT_FILE)" group:"The runner"`
	TLSKeyFile        string        `name:"tls-key-file" placeholder:"FILE" help:"Its key. ($$CI_SERVER_TLS_KEY_FILE)" group:"The runner"`

	TagList         string `placeholder:"TAGS" help:"Tags, separated by commas. ($$RUNNER_TAG_LIST)" group:"With a registration token only"`
	RunUntagged     *bool  `help:"Take jobs without tags (default: when there are no tags). ($$REGISTER_RUN_UNTAGGED)" group:"With a registration token only"`
	Locked          *bool  `help:"Lock the runner to its project (default: true). ($$REGISTER_LOCKED)" group:"With a registration token only"`
	Paused          *bool  `help:"Register it as paused. ($$REGISTER_PAUSED)" group:"With a registration token only"`
	AccessLevel     string `placeholder:"LEVEL" help:"not_protected or ref_protected. ($$REGISTER_ACCESS_LEVEL)" group:"With a registration token only"`
	MaximumTimeout  string `placeholder:"SECONDS" help:"Longest time for a job. ($$REGISTER_MAXIMUM_TIMEOUT)" group:"With a registration token only"`
	MaintenanceNote string `placeholder:"TEXT" help:"A note for the coordinator's administrators. ($$REGISTER_MAINTENANCE_NOTE)" group:"With a registration token only"`
	LeaveRunner     *bool  `help:"Do not undo the registration when the file can't be written. ($$REGISTER_LEAVE_RUNNER)" group:"With a registration token only"`

	CCOrgaID         string        `name:"cc-orga-id" placeholder:"ID" help:"The organisation that pays (orga_...). ($$CC_ORGA_ID)" group:"With clever-docker"`
	CCToken          secret.String `name:"cc-token" placeholder:"TOKEN" help:"Its token for Clever Cloud's API. ($$CC_TOKEN)" group:"With clever-docker"`
	CCTokenFile      string        `name:"cc-token-file" placeholder:"FILE" help:"The same in a file of its own, which the service reads. ($$CC_TOKEN_FILE)" group:"With clever-docker"`
	CCAuth           string        `name:"cc-auth" placeholder:"SCHEME" help:"How the API is shown the token: token, bearer or oauth1 (default: token). ($$CC_AUTH)" group:"With clever-docker"`
	CCMultiTenant    *bool         `name:"cc-multi-tenant" help:"Each job is paid by the organisation that its top-level group names. ($$CC_MULTI_TENANT)" group:"With clever-docker"`
	CCNamespaceToken secret.String `name:"cc-gitlab-namespace-attributes-token" placeholder:"TOKEN" help:"With --cc-multi-tenant: an administrator's token that may read the groups' attributes. ($$CC_GITLAB_NAMESPACE_ATTRIBUTES_TOKEN)" group:"With clever-docker"`
	CCAPIURL         string        `name:"cc-api-url" placeholder:"URL" help:"Clever Cloud's API. ($$CC_API_URL)" group:"With clever-docker"`
	CCZone           string        `name:"cc-zone" placeholder:"ZONE" help:"Zone of the instances. ($$CC_ZONE)" group:"With clever-docker"`
	CCDefaultFlavor  string        `name:"cc-default-flavor" placeholder:"FLAVOR" help:"Flavor of jobs that ask for none. ($$CC_DEFAULT_FLAVOR)" group:"With clever-docker"`
	CCMaxFlavor      string        `name:"cc-max-flavor" placeholder:"FLAVOR" help:"Largest flavor. ($$CC_MAX_FLAVOR)" group:"With clever-docker"`

	StateFilePath  string `placeholder:"FILE" help:"Where the service keeps its state. ($$REGISTER_STATE_FILE_PATH)" group:"For a new file"`
	MaxConcurrency string `placeholder:"N" help:"Jobs at once over all runners. ($$REGISTER_MAX_CONCURRENCY)" group:"For a new file"`
	QuotaFlavor    string `placeholder:"FLAVOR" help:"The quota is the weight of so many jobs of this flavor (default: M). ($$REGISTER_QUOTA_FLAVOR)" group:"For a new file"`
	QuotaJobs      string `placeholder:"N" help:"How many (default: as many as there may be at once). ($$REGISTER_QUOTA_JOBS)" group:"For a new file"`
}

// Help is the text below the flags.
func (*Options) Help() string {
	return `Asks for what is missing, registers the runner at its coordinator, and adds a [[runners]] section at the end of the
configuration file; what stands in the file is not changed. A new file is complete and good for 'check'.

Whatever is set neither here nor in the environment is asked for, secrets without echo, unless --non-interactive is
given. A token on the command line can be seen by others of this computer: better use the environment, or be asked.
Values for cc_... may be ${NAME}: they stay so in the file, and are taken from the service's environment.

Both the options of the Python program and those of 'gitlab-runner register' are good:

    -c   with a URL it is the coordinator, with anything else the configuration file
    -t   an authentication token, or else a registration token

Settings that have no option here, such as those of [runners.docker] and [runners.cache], come from --template-config.

Examples:

    heptapod-paas-runner register /etc/heptapod-paas-runner/paas-runner.toml
    CI_SERVER_TOKEN=glrt-... CC_TOKEN=... heptapod-paas-runner register -n --url https://heptapod.example.com \
      --name clever-cloud --executor clever-docker --cc-orga-id orga_... \
      --max-concurrency 8 --state-file-path /var/lib/heptapod-paas-runner/state.db paas-runner.toml

Exit codes: 0 done, 1 failed, 2 usage or something missing, 3 the file is invalid, 130 interrupted. When it does not end
with 0, neither the file nor the coordinator is changed, or it says what could not be undone.`
}

// setting is one option with its environment variable. One of the pointers is set.
type setting struct {
	option, env string
	text        *string
	secret      *secret.String
	yes         **bool
	// reserved: the coordinator keeps it for a runner that was made there.
	reserved bool
}

// settings lists all options but for the configuration file.
func (o *Options) settings() []setting {
	return []setting{
		{option: "--non-interactive", env: "REGISTER_NON_INTERACTIVE", yes: &o.NonInteractive},
		{option: "--url", env: "CI_SERVER_URL", text: &o.URL},
		{option: "--token", env: "CI_SERVER_TOKEN", secret: &o.Token},
		{option: "--registration-token", env: "REGISTRATION_TOKEN", secret: &o.RegistrationToken},
		{option: "--name", env: "RUNNER_NAME", text: &o.Name},
		{option: "--executor", env: "RUNNER_EXECUTOR", text: &o.Executor},
		{option: "--limit", env: "RUNNER_LIMIT", text: &o.Limit},
		{option: "--template-config", env: "TEMPLATE_CONFIG_FILE", text: &o.TemplateConfig},
		{option: "--docker-image", env: "DOCKER_IMAGE", text: &o.DockerImage},
		{option: "--tls-ca-file", env: "CI_SERVER_TLS_CA_FILE", text: &o.TLSCAFile},
		{option: "--tls-cert-file", env: "CI_SERVER_TLS_CERT_FILE", text: &o.TLSCertFile},
		{option: "--tls-key-file", env: "CI_SERVER_TLS_KEY_FILE", text: &o.TLSKeyFile},
		{option: "--tag-list", env: "RUNNER_TAG_LIST", text: &o.TagList, reserved: true},
		{option: "--run-untagged", env: "REGISTER_RUN_UNTAGGED", yes: &o.RunUntagged, reserved: true},
		{option: "--locked", env: "REGISTER_LOCKED", yes: &o.Locked, reserved: true},
		{option: "--paused", env: "REGISTER_PAUSED", yes: &o.Paused, reserved: true},
		{option: "--access-level", env: "REGISTER_ACCESS_LEVEL", text: &o.AccessLevel, reserved: true},
		{option: "--maximum-timeout", env: "REGISTER_MAXIMUM_TIMEOUT", text: &o.MaximumTimeout, reserved: true},
		{option: "--maintenance-note", env: "REGISTER_MAINTENANCE_NOTE", text: &o.MaintenanceNote, reserved: true},
		{option: "--leave-runner", env: "REGISTER_LEAVE_RUNNER", yes: &o.LeaveRunner},
		{option: "--cc-orga-id", env: "CC_ORGA_ID", text: &o.CCOrgaID},
		{option: "--cc-token", env: "CC_TOKEN", secret: &o.CCToken},
		{option: "--cc-token-file", env: "CC_TOKEN_FILE", text: &o.CCTokenFile},
		{option: "--cc-auth", env: "CC_AUTH", text: &o.CCAuth},
		{option: "--cc-multi-tenant", env: "CC_MULTI_TENANT", yes: &o.CCMultiTenant},
		{option: "--cc-gitlab-namespace-attributes-token", env: "CC_GITLAB_NAMESPACE_ATTRIBUTES_TOKEN", secret: &o.CCNamespaceToken},
		{option: "--cc-api-url", env: "CC_API_URL", text: &o.CCAPIURL},
		{option: "--cc-zone", env: "CC_ZONE", text: &o.CCZone},
		{option: "--cc-default-flavor", env: "CC_DEFAULT_FLAVOR", text: &o.CCDefaultFlavor},
		{option: "--cc-max-flavor", env: "CC_MAX_FLAVOR", text: &o.CCMaxFlavor},
		{option: "--state-file-path", env: "REGISTER_STATE_FILE_PATH", text: &o.StateFilePath},
		{option: "--max-concurrency", env: "REGISTER_MAX_CONCURRENCY", text: &o.MaxConcurrency},
		{option: "--quota-flavor", env: "REGISTER_QUOTA_FLAVOR", text: &o.QuotaFlavor},
		{option: "--quota-jobs", env: "REGISTER_QUOTA_JOBS", text: &o.QuotaJobs},
	}
}
