// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What makes no sense together is told, in the words that are shown here; a file that is
// all right is not spoken of.
func TestAdvice(t *testing.T) {
	t.Parallel()
	quota := func(runner, flavor, jobs string) string {
		return "state_file = \"/s\"\n[quota_computation]\nreference_runner = \"" + runner + "\"\nreference_flavor = \"" + flavor + "\"\nreference_jobs_count = " + jobs + "\n"
	}
	many := strings.Replace(section, "cc_orga_id = \"o\"\ncc_token = \"c\"", "cc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"n\"", 1)
	for _, c := range []struct{ name, text, want string }{
		{"all is well", "concurrent = 50\n" + quota("a", "3XL", "8") + section, ""},
		{"a weight with a fraction", "concurrent = 107.63\n" + head + section, "f:1: concurrent: 107.63 looks like a weight; it is a number of jobs, and 107 is taken. The weight is limited by [quota_computation]"},
		{"the weight of the quota", "concurrent = 608\n" + quota("a", "3XL", "8") + section,
			"f:1: concurrent: 608 looks like the weight of 8 jobs of flavor 3XL; it is a number of jobs. The weight is limited by [quota_computation] already"},
		{"the weight of the quota, rounded up, in the old spelling", "concurrency = 609\n" + quota("a", "3XL", "8") + section,
			"f:1: concurrency: accepted; the preferred spelling is concurrent\nf:1: concurrency: 609 looks like the weight of 8 jobs of flavor 3XL; it is a number of jobs. The weight is limited by [quota_computation] already"},
		{"a weight that is not that of the quota", "concurrent = 300\n" + quota("a", "3XL", "8") + section,
			"f:1: concurrent: 300 looks like a weight; it is a number of jobs, and no more than 256 of the smallest flavor fit into [quota_computation], which limits the weight"},
		{"a number of jobs that the quota never reaches", "concurrent = 50\n" + quota("a", "M", "1") + section, ""},
		{"one token for two coordinators", head + "[paas_job_trace_watch]\ntoken = \"w\"\n" + section + strings.NewReplacer("h.example", "i.example", `"a"`, `"b"`).Replace(section),
			"f:6: paas_job_trace_watch: accepted; the preferred spelling is job_trace_watch\n" +
				"f:6: paas_job_trace_watch: its token is shown to several coordinators (https://h.example, https://i.example); move it to the [[runners]] of the one that it belongs to, or remove it: it is not needed"},
		{"one token for two runners of one coordinator", head + "[job_trace_watch]\ntoken = \"w\"\n" + section + strings.NewReplacer(`"t"`, `"u"`, `"a"`, `"b"`).Replace(section), ""},
		{"a token for one of two coordinators", head + "[job_trace_watch]\npoll_step = 3\n" + section + "[runners.job_trace_watch]\ntoken = \"w\"\n" + strings.NewReplacer("h.example", "i.example", `"a"`, `"b"`).Replace(section), ""},
		{"a number of jobs", "concurrent = 8\n" + quota("a", "3XL", "8") + section, ""},
		{"a flavor in small letters", quota("a", "m", "8") + above("cc_default_flavor = \"xs\"")[len(head):],
			"f:4: reference_flavor: \"m\" is none of the usual flavors: did you mean M?\nf:13: cc_default_flavor: \"xs\" is none of the usual flavors: did you mean XS?"},
		{"a flavor that nobody offers", above("cc_max_flavor = \"XXL\""), "f:13: cc_max_flavor: \"XXL\" is none of the usual flavors: XS, S, M, L, XL, 2XL, 3XL"},
		{"flavors of another family", strings.Replace(above("cc_flavor_context = \"other\"\ncc_default_flavor = \"nano\""), `"M"`, `"pico"`, 1), ""},
		{"a default above the maximum", above("cc_default_flavor = \"XL\"\ncc_max_flavor = \"M\""),
			"f:13: cc_default_flavor: XL is larger than cc_max_flavor (M): a job that does not choose is refused\n" +
				"f:13: cc_default_flavor: XL weighs 32, more than the whole quota (26.908): a job that does not choose is refused"},
		{"a list without the default", above("cc_allowed_flavors = [\"XS\", \"s\"]"),
			"f:13: cc_allowed_flavors: \"s\" is none of the usual flavors: did you mean S?\nf:13: cc_allowed_flavors: cc_default_flavor (M) is not among them: a job that does not choose is refused"},
		{"a list above the maximum", above("cc_allowed_flavors = [\"M\", \"XL\", \"3XL\"]\ncc_max_flavor = \"L\""), "f:13: cc_allowed_flavors: larger than cc_max_flavor (L), and so refused: XL, 3XL"},
		{"a quota that is too small", quota("a", "XS", "3") + section, "f:6: cc_default_flavor: M weighs 13.454, more than the whole quota (7.134): a job that does not choose is refused"},
		{"a poll step that is too long", head + section + "[runners.job_trace_watch]\npoll_step = 400\n",
			"f:15: job_trace_watch: poll_step (6m40s) is longer than timeout_seconds (5m0s): jobs would be given up before they are looked at"},
		{"a wait step that is too long", above("cc_deployment_repo_wait_step = 30"), "f:13: cc_deployment_repo_wait_step: 30s is longer than cc_deployment_repo_timeout (20s)"},
		{"privileged", head + section + "[runners.docker]\nprivileged = true\n",
			"f:16: privileged: true: jobs can read all that their instance was given, credentials of the cache and of registries among it"},
		{"the Docker socket", head + section + "[runners.docker]\nVolumes = [\"/cache\", \"/var/run/docker.sock:/var/run/docker.sock\"]\n",
			"f:16: volumes: holds the Docker socket: jobs can read all that their instance was given, credentials of the cache and of registries among it, and may stop the sub-runner's own containers"},
		{"a cache of all tenants", head + many + "[runners.cache.s3]\nServerAddress = \"s\"\nAccessKey = \"k\"\nSecretKey = \"x\"\n",
			"f:17: AccessKey: all tenants would share this cache, and its credentials travel to the instances of each; leave it out with cc_multi_tenant"},
		{"a cache of one tenant", head + section + "[runners.cache.s3]\nAccessKey = \"k\"\nSecretKey = \"x\"\n", ""},
		{"an empty cache of all tenants", head + many + "[runners.cache.s3]\nAccessKey = \"\"\n", ""},
		{"no socket for the sub-runner", head + strings.Replace(section, "CC_ENABLE_HEPTAPOD_RUNNER = \"true\"", "CC_ENABLE_HEPTAPOD_RUNNER = \"False\"", 1),
			"f:13: cc_extra_env: CC_ENABLE_HEPTAPOD_RUNNER is \"False\": Clever Cloud needs it for now"},
		{"keys without effect", "paas_log_statistics = false\n" + above("heptapod_paas_runner_helper_image = \"x\""),
			"f:1: paas_log_statistics: accepted, without effect: /metrics and status tell more\nf:14: heptapod_paas_runner_helper_image: accepted, without effect: there is no helper service on the instances"},
		{"what docker+machine leaves behind", head + section + "[runners.machine]\nMachineOptions = [\"x-secret-key=CANARY\"]\n[runners.autoscaler.plugin_config]\ntoken = \"CANARY\"\n",
			"f:15: machine: is left out of what instances are given: it is for the executors docker+machine and docker-autoscaler, and may hold credentials; remove it\n" +
				"f:17: autoscaler: is left out of what instances are given: it is for the executors docker+machine and docker-autoscaler, and may hold credentials; remove it"},
		{"two executors", head + section + "[[runners]]\nname = \"b\"\nurl = \"https://h.example\"\ntoken = \"u\"\nexecutor = \"local-docker\"\n",
			"local-docker beside clever-docker in line 6: their weights can't be compared, and one quota holds for both; run two services"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := mustRead(t, c.text)
			if strings.Contains(fmt.Sprint(cfg.Runners[0].Forward), "CANARY") {
				t.Error("a credential travels")
			}
			got := strings.Join(cfg.Warnings, "\n")
			if c.name == "two executors" { // among other things
				if !strings.Contains(got, c.want) {
					t.Errorf("got %s", got)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadLists(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"XS"`: `found "XS", want a list of texts, such as ["XS", "M"]`, `[]`: "found an empty list; remove it to allow all",
		`["XS", 3]`: "found 3 in the list, want texts", `[""]`: "found an empty string in the list, want texts", `["${NO_SUCH}"]`: "the environment variable NO_SUCH is not set",
	} {
		_, err := read(above("cc_allowed_flavors = " + value))
		if err == nil || !strings.Contains(err.Error(), "f:13: cc_allowed_flavors: "+want) {
			t.Errorf("%s: got %v, want %s", value, err, want)
		}
	}
}

// Files that hold a secret and that others may read are told.
func TestReadableFiles(t *testing.T) {
	t.Parallel()
	d := world(nil, map[string]string{"/etc/p/token": "t\n", "/etc/p/closed": "c\n"})
	d.mode = func(path string) (fs.FileMode, error) {
		switch path {
		case "/etc/p/token", "/etc/p/client.key":
			return 0o644, nil
		case "/etc/p/closed":
			return 0o640, nil
		case "/etc/p/client.pem":
			return 0o666, nil // public
		}
		return 0, errors.New("not asked for")
	}
	text := head + strings.NewReplacer(`token = "t"`, `token_file = "token"`, `cc_token = "c"`, "cc_token_file = \"closed\"\ntls-cert-file = \"client.pem\"\ntls-key-file = \"client.key\"").Replace(section)
	cfg, err := parse("/etc/p/f.toml", text, 0o644, d)
	if err != nil {
		t.Fatal(err)
	}
	want := "/etc/p/f.toml:9: token_file: /etc/p/token is readable by others (mode 0644), and holds a secret: chmod 600 it\n" +
		"/etc/p/f.toml:14: tls-key-file: /etc/p/client.key is readable by others (mode 0644): chmod 600 it"
	if diff := cmp.Diff(want, strings.Join(cfg.Warnings, "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
