// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sorted(keys iter.Seq[string]) []string { return slices.Sorted(keys) }

// instead replaces a line of a text by others.
func instead(text, line, by string) string {
	if !strings.Contains(text, line+"\n") {
		panic("no line " + line)
	}
	return strings.Replace(text, line+"\n", by+"\n", 1)
}

// above puts lines above the sub-tables of the section.
func above(lines string) string {
	return head + strings.Replace(section, "[runners.cc", lines+"\n[runners.cc", 1)
}

const toPaste = `f:1: quota_computation: missing; it limits what runs (and costs) at once. For as much as 4 jobs of flavor M add these lines above the first [[runners]]:

  [quota_computation]
    reference_runner = "NAME"
    reference_flavor = "M"
    reference_jobs_count = 4
`

const statePaste = `f:1: state_file: missing; it is where running jobs are recorded. Add this line at the top of the file:

  state_file = "/var/lib/heptapod-paas-runner/state.db"
`

// Everything that is wrong is said at once, in the words that are shown here.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"nothing at all", "", statePaste + "\n" +
			"f:1: no [[runners]] section; register a runner at the coordinator and add one with its url and token\n" + strings.Replace(toPaste, "NAME", "my-runner", 1)},
		{"the lines to paste name the runner", "state_file=\"/s\"\n" + instead(section, `name = "a"`, `name = "my \"own\""`), strings.Replace(toPaste, "NAME", `my \"own\"`, 1)},
		{"misspelled required keys", "stat_file = \"/s\"\n[quota_computatoin]\n" + section, strings.Replace(statePaste, "missing", "missing (line 1 has stat_file: did you mean state_file?)", 1) + "\n" +
			strings.NewReplacer("NAME", "a", "missing", "missing (line 2 has quota_computatoin: did you mean quota_computation?)").Replace(toPaste)},
		{"ranges", "concurrent = 0\ncheck_interval = -1\npaas_max_concurrent_provisioning = 2.5\npaas_max_parked_seconds = 0\njob_progress_poll_interval = nan\n" +
			"paas_min_seconds_between_launches = 1e300\n" + head + section,
			"f:1: concurrent: found 0, want a whole number from 1 to 1000000000\n" +
				"f:2: check_interval: found -1, want a number of seconds from 0 to 100000000\n" +
				"f:3: paas_max_concurrent_provisioning: found 2.5, want a whole number from 1 to 1000000000\n" +
				"f:4: paas_max_parked_seconds: found 0, want a number of seconds from 1 to 100000000\n" +
				"f:5: job_progress_poll_interval: found NaN, want a number of seconds from 0.01 to 100000000\n" +
				"f:6: paas_min_seconds_between_launches: found 1e+300, want a number of seconds from 0 to 100000000"},
		{"too large for any number", "concurrent = 9223372036854775807\n" + head + section, "f:1: concurrent: found 9223372036854775807, want a whole number from 1 to 1000000000"},
		{"types", "concurrent = \"50\"\ncheck_interval = \"3\"\npaas_finished_jobs_keep_resources = 1\npaas_decommission_launch_failures = \"false\"\nlisten_address = 9252\n" + head + section,
			"f:1: concurrent: found \"50\", want a whole number from 1 to 1000000000, without quotes\n" +
				"f:2: check_interval: found \"3\", want a number of seconds from 0 to 100000000, without quotes\n" +
				"f:3: paas_finished_jobs_keep_resources: found 1, want true or false, without quotes\n" +
				"f:4: paas_decommission_launch_failures: found \"false\", want true or false, without quotes\n" +
				`f:5: listen_address: found 9252, want a string: "9252"`},
		{"texts that are checked", "listen_address = \"9252\"\npaas_advertise_url = \"runner.example\"\nlog_level = \"inof\"\nlog_format = \"xml\"\n" + head + section,
			"f:1: listen_address: found \"9252\", want host:port, such as 127.0.0.1:9252\n" +
				"f:2: paas_advertise_url: found \"runner.example\", want a URL such as http://runner.example.com:9252\n" +
				"f:3: log_level: found \"inof\", want one of: debug, info, warn, error (did you mean info?)\n" +
				"f:4: log_format: found \"xml\", want one of: text, json"},
		{"both spellings", "job_progress_interval = 3\njob_progress_poll_interval = 4\n" + head + section,
			"f:1: job_progress_interval: line 2 has job_progress_poll_interval, which says the same; keep job_progress_poll_interval only"},
		{"three spellings", "concurrency = 1\nconcurrent = 2\npaas_decommission_launched_failures = true\npass_decommision_launched_failures = false\n" + head + section + "[runners.job_trace_watch]\ntimout_seconds = 3\ntimeout_seconds = 4\n[runners.paas_job_trace_watch]\n",
			"f:1: concurrency: line 2 has concurrent, which says the same; keep concurrent only\n" +
				"f:3: paas_decommission_launched_failures: line 4 has pass_decommision_launched_failures, which says the same; keep paas_decommission_launch_failures only\n" +
				"f:20: timout_seconds: line 21 has timeout_seconds, which says the same; keep timeout_seconds only\n" +
				"f:22: paas_job_trace_watch: line 19 has job_trace_watch, which says the same; keep job_trace_watch only"},
		{"state_file is empty", instead(head, `state_file = "/s"`, `state_file = ""`) + section, "f:1: state_file: empty; it is required"},
		{"tables that are none", "quota_computation = 3\njob_trace_watch = []\nstate_file = \"/s\"\n" + section,
			"f:1: quota_computation: found 3, want a table\nf:2: job_trace_watch: found a list, want a table"},
		{"what is in the quota", "state_file = \"/s\"\n[quota_computation]\nreference_runner = \"A\"\nreference_flavour = \"M\"\nconcurrent = 4\n" + section,
			"f:2: reference_flavor: missing (line 4 has reference_flavour: did you mean reference_flavor?); it is required\n" +
				"f:2: reference_jobs_count: missing; it is required\n" +
				"f:3: reference_runner: found \"A\", want the name of a [[runners]] section: [\"a\"] (did you mean a?)\n" +
				"f:4: reference_flavour: unknown key (did you mean reference_flavor?)\n" +
				"f:5: concurrent: stands in [quota_computation]; a global key stands above the first line in brackets"},
		{"no executor of ours", head + instead(section, `executor = "clever-docker"`, `executor = "docker"`),
			`f:10: executor: found "docker", which gitlab-runner runs itself; here it is "clever-docker" (an instance on Clever Cloud for each job) or "local-docker" (containers on a Docker Engine)`},
		{"an executor that is replaced", head + instead(section, `executor = "clever-docker"`, `executor = "clever-service-docker"`),
			`f:10: executor: found "clever-service-docker", which is replaced by "clever-docker"`},
		{"another executor that is replaced", head + instead(section, `executor = "clever-docker"`, `executor = "service-docker"`),
			`f:10: executor: found "service-docker", which was for tests only; use "local-docker"`},
		{"a misspelled executor", head + instead(section, `executor = "clever-docker"`, `executor = "clever_docker"`),
			`f:10: executor: found "clever_docker", want one of: clever-docker, local-docker (did you mean clever-docker?)`},
		{"an empty section", head + "[[runners]]\n", "f:6: name: missing; it is required\nf:6: url: missing; it is required\n" +
			"f:6: token: missing; set it, or token_file to the path of a file that holds it\nf:6: executor: missing; it is required"},
		{"no organisation", head + "[[runners]]\nname = \"a\"\nurl = \"https://h\"\nTOKEN = \"t\"\nexecutor = \"clever-docker\"\ncc_orga = \"o\"\n",
			"f:6: token: missing (line 9 has TOKEN: did you mean token?); set it, or token_file to the path of a file that holds it\n" +
				"f:6: cc_orga_id: missing (line 11 has cc_orga: did you mean cc_orga_id?); it is required\n" +
				"f:6: cc_token: missing; set it, or cc_token_file to the path of a file that holds it\n" +
				"f:9: TOKEN: unknown key (did you mean token?)\nf:11: cc_orga: unknown key (did you mean cc_orga_id?)"},
		{"a misspelled key of ours", above("cc_zome = \"par\""), "f:13: cc_zome: unknown key (did you mean cc_zone?)"},
		{"empty texts", above("cc_zone = \"\"\ncc_max_flavor = \"\"\nadmission = \"\""), "f:13: cc_zone: empty; without this key it is par\nf:15: admission: found \"\", want one of: park, strict"},
		{"a line break", above(`cc_zone = "par\nx"`), "f:13: cc_zone: holds a line break or another control character"},
		{"values of a section", above("limit = -1\nadmission = \"strikt\"\nsub_runner = \"gitlab\"\npaas_owner = \"ABC\"\npaas_relay_subnet = \"10.0.0.0\"\ntls-key-file = \"k\"\ncc_deployment_repo_timeout = true"),
			"f:6: tls-cert-file: tls-cert-file and tls-key-file go together; one is missing\n" +
				"f:13: limit: found -1, want a whole number from 0 to 1000000000\n" +
				"f:14: admission: found \"strikt\", want one of: park, strict (did you mean strict?)\n" +
				"f:15: sub_runner: found \"gitlab\", want one of: relay, exec-fetched-job\n" +
				"f:16: paas_owner: found \"ABC\", want 10 characters out of a-z and 2-7\n" +
				"f:17: paas_relay_subnet: found \"10.0.0.0\", want a subnet such as 10.200.0.0/24\n" +
				"f:19: cc_deployment_repo_timeout: found true, want a number of seconds from 0.01 to 100000000"},
		{"the environment of instances", head + section + "CC_X = 3\ncc_token_file = \"x\"\n", "f:15: CC_X: found 3, want a string: \"3\"\n" +
			"f:16: cc_token_file: stands in [runners.cc_extra_env], which is given to every instance; move it up, directly below its [[runners]]"},
		{"URLs", head + instead(section, `url = "https://h.example"`, `url = "ftp://h.example"`), `f:8: url: found "ftp://h.example", want a URL such as https://gitlab.example.com`},
		{"a URL with a password", head + instead(section, `url = "https://h.example"`, `url = "htps://u:pw@h.example"`), `f:8: url: found a text with @ in it, want a URL such as https://gitlab.example.com`},
		{"a URL with a password that is one", head + instead(section, `url = "https://h.example"`, `url = "https://u:pw@h.example"`), `f:8: url: found a URL with a user or password in it, want one without: it is logged, and given to instances`},
		{"a URL of the API", head + instead(section, `url = "https://h.example"`, `url = "https://h.example/gitlab/api/v4/"`), `f:8: url: found "https://h.example/gitlab/api/v4/", want it without /api/v4, which is added to it`},
		{"a URL with more behind it", above("cc_api_url = \"https://h.example/v2?x=1\""), `f:13: cc_api_url: found "https://h.example/v2?x=1", want a URL without anything behind ? or #`},
		{"ports", "listen_address = \"256.0.0.1:80\"\npaas_advertise_url = \"http://h:99999\"\n" + head + section,
			"f:1: listen_address: found \"256.0.0.1:80\", want host:port, such as 127.0.0.1:9252\nf:2: paas_advertise_url: found \"http://h:99999\", want a URL such as http://runner.example.com:9252"},
		{"images", "paas_relay_image = \"a b\"\n" + above("heptapod_runner_main_image = \"https://r.example/Image\""),
			"f:1: paas_relay_image: found \"a b\", want an image such as registry.example.com/group/image:1.0\n" +
				"f:14: heptapod_runner_main_image: found \"https://r.example/Image\", want an image such as registry.example.com/group/image:1.0"},
		{"a file for a token, nearly", head + instead(section, `token = "t"`, `token-file = "t"`), "f:6: token: missing (line 9 has token-file: did you mean token_file?); set it, or token_file to the path of a file that holds it"},
		{"one attribute for both", instead(instead(head+section, `cc_orga_id = "o"`, "cc_multi_tenant = true"), `cc_token = "c"`, "cc_gitlab_namespace_attributes_token = \"n\"\ncc_orga_token_attribute = \"cc_orga_id\""),
			"f:13: cc_orga_token_attribute: the same attribute (cc_orga_id) as cc_orga_id_attribute: the one is shown, the other is a secret"},
		{"a key twice", head + section + section + "FOO = \"a\"\nFOO = \"b\"\n", "f:25: runners.cc_extra_env.FOO: not valid TOML: Key 'runners.cc_extra_env.FOO' has already been defined in line 24"},
		{"a key of a section twice", above("cc_zone = \"a\"\nlimit = 3\ncc_zone = \"b\""), "f:15: runners.cc_zone: not valid TOML: Key 'runners.cc_zone' has already been defined in line 13"},
		{"a table twice", head + section + "[runners.cc_extra_env]\n", "f:15: runners: not valid TOML: Key 'runners.cc_extra_env' has already been defined in line 13"},
		{"a global key twice", "concurrent = 3\n" + "concurrent = 4\n" + head + section, "f:2: concurrent: not valid TOML: Key 'concurrent' has already been defined in line 1"},
		{"an environment variable without a name", head + section + "\"\" = \"x\"\n", `f:15: "" is no name of an environment variable`},
		{"a secret under a name that would travel", above("cc-token = \"c\"\ncctoken = \"c\"\n[runners.job_trace_wach]\ntoken = \"a\""),
			"f:13: cc-token: unknown key (did you mean cc_token?)\n" +
				"f:14: cctoken: unknown key (did you mean cc_token?); as it is spelled it would travel to the instances\n" +
				"f:15: job_trace_wach: unknown key (did you mean job_trace_watch?); as it is spelled it would travel to the instances"},
		{"one registration twice", head + section + instead(section, `name = "a"`, `name = "b"`), "f:18: token: the section in line 6 has the same token and URL; two sections of one registration can't be told apart"},
		{"one registration twice, pinned", above(`paas_owner = "abcdefghij"`) + instead(instead(section, `name = "a"`, `name = "b"`), `url = "https://h.example"`, `url = "https://H.example:443/"`),
			"f:19: token: the section in line 6 has the same token and URL; two sections of one registration can't be told apart"},
		{"one owner twice", above(`paas_owner = "abcdefghij"`) + instead(section, `token = "t"`, "token = \"u\"\npaas_owner = \"abcdefghij\""),
			"f:20: paas_owner: the section in line 6 has the same owner abcdefghij; their instances can't be told apart"},
		{"one bracket", head + instead(section[:strings.Index(section, "[runners.")], `[[runners]]`, `[runners]`), "f:6: runners: found a table, want [[runners]] sections (with two brackets)"},
		{"a list of other things", "runners = [ 3 ]\n" + head, "f:1: runners: found 3 in the list, want tables"},
		{"an empty list", "runners = []\n" + head, "f:1: no [[runners]] section; register a runner at the coordinator and add one with its url and token"},
		{"docker is no table", above("docker = \"x\""), "f:13: docker: found \"x\", want a table"},
		{"two spellings of a table", head + section + "[runners.Docker]\n[runners.docker]\n", "f:16: docker: the sub-runner does not tell it from Docker; keep one of them"},
		{"keys in the wrong table", above("check_interval = 3\npaas_relay_image = \"x\"") + "[runners.job_trace_watch]\npaas_owner = \"x\"\npoll_stepp = 1\n[runners.docker]\nimage = \"x\"\ncc_max_flavor = \"M\"\n" +
			"[[runners.docker.services]]\nname = \"x\"\npaas_max_parked_seconds = 3\n",
			"f:14: paas_relay_image: stands in [runners]; a global key stands above the first line in brackets\n" +
				"f:18: paas_owner: stands in [runners.job_trace_watch]; it belongs directly below [[runners]]\n" +
				"f:19: poll_stepp: unknown key (did you mean poll_step?)\n" +
				"f:22: cc_max_flavor: stands in [runners.docker], where it has no effect and would travel to the instances; move it up, directly below its [[runners]]\n" +
				"f:25: paas_max_parked_seconds: stands in [runners.docker.services], where it has no effect and would travel to the instances; move it above the first line in brackets"},
		{"a problem of the file's trace watch is said once", head + "[job_trace_watch]\npoll_step = \"x\"\n" + section + instead(section, `token = "t"`, `token = "u"`),
			"f:7: poll_step: found \"x\", want a number of seconds from 0.01 to 100000000, without quotes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := read(c.text)
			problems, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if diff := cmp.Diff(c.want, problems.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Of a file that is wrong there is what could be read of it, with its warnings; what only
// follows from a mistake is not among them.
func TestWhatCouldBeRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"concurent = 3\n" + instead(head, "reference_jobs_count = 2", "reference_jobs_count = 0") + section: {"/s", "f:1: concurent: unknown key (did you mean concurrent?)"},
		"concurrent = 600\nstate_file = 1979-05-27\n" + section:                                             {"", ""},
		"state_file = \"${NO_SUCH}\"\n" + section:                                                           {"", ""},
	} {
		_, err := read(text)
		problems, ok := errors.AsType[*Error](err)
		if !ok || problems.Partial == nil {
			t.Errorf("%s: got %v", text, err)
			continue
		}
		got := [2]string{problems.Partial.StateFile, strings.Join(problems.Partial.Warnings, "\n")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", text, diff)
		}
	}
	_, err := read("x = ")
	if problems, ok := errors.AsType[*Error](err); !ok || problems.Partial != nil {
		t.Errorf("no TOML: got %v", err)
	}
	if at := mustRead(t, "\n"+head+section).Place("state_file"); at != "f:2: state_file" {
		t.Errorf("got %s", at)
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"a = 1\nstate_file = \n", "f:2: state_file: not valid TOML: "},
		{"paas_finished_jobs_keep_resources = True\n", "f:1: paas_finished_jobs_keep_resources: not valid TOML: this is no value; text stands in quotes, and it is true and false in small letters"},
		{"a = 1\n\ntoken = glrt-CANARY\n", "f:3: token: not valid TOML: this is no value; text stands in quotes"},
		{"token = tCANARY\n", "f:1: token: not valid TOML: this is no value; text stands in quotes"},
		{"token = 12345CANARY\n", "f:1"},
		{"token = 2020-99-99CANARY\n", "f:1: token: not valid TOML: invalid datetime: what stands here"},
		{"token = 31415926535897932384626\n", "f:1: token: not valid TOML: the number is out of range for int64"},
		{"token = \"CANARY\n", "f:1: token: not valid TOML: strings cannot contain newlines"},
		{"a = 1\r\nb = 2\r\n\r\nb = 3\r\n", "f:4: b: not valid TOML: Key 'b' has already been defined"},
		{"[runners]\n[[runners]]\n", "f:2"},
		{"a = 1\x00", "f:1"},
		{"a = \"\xff\"", "f:1"},
	} {
		_, err := read(c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "31415") {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"other spellings", "job_progress_interval = 7\npass_decommision_launched_failures = false\nconcurrency = 3\n" + head + section + "[runners.paas_job_trace_watch]\ntimout_seconds = 19\n",
			"f:1: job_progress_interval: accepted; the preferred spelling is job_progress_poll_interval\n" +
				"f:2: pass_decommision_launched_failures: accepted; the preferred spelling is paas_decommission_launch_failures\n" +
				"f:3: concurrency: accepted; the preferred spelling is concurrent\n" +
				"f:18: paas_job_trace_watch: accepted; the preferred spelling is job_trace_watch\n" +
				"f:19: timout_seconds: accepted; the preferred spelling is timeout_seconds"},
		{"unknown global keys", "concurent = 3\nsomething = 1\ncc_zone = \"par\"\nreference_flavor = \"M\"\n" + head + "[else]\nx = 1\n" + section,
			"f:1: concurent: unknown key (did you mean concurrent?)\nf:2: something: unknown key\n" +
				"f:3: cc_zone: has no effect here; it belongs into a [[runners]] section\n" +
				"f:4: reference_flavor: has no effect here; it belongs into [quota_computation]\nf:10: else: unknown key"},
		{"keys of gitlab-runner", "sentry_dsn = \"x\"\nlabels = {}\nuser = \"x\"\nshutdown_timeout = 3\nconnection_max_age = \"1m\"\n" + head + "[session_server]\nlisten_address = \"x\"\n[experimental.usage_logger]\n[machine]\n" + section, ""},
		{"keys of a section", above("cc_something_else = 1\nemviroment = []\nlimits = 3\ncheck_interval = 4\nxyz = 3\nlabels = {}\npaas_keep_resources_for_reuse_seconds = 60"),
			"f:13: cc_something_else: unknown key, without effect\n" +
				"f:14: emviroment: unknown here, forwarded to the sub-runner (did you mean environment?)\n" +
				"f:15: limits: unknown here, forwarded to the sub-runner (did you mean limit?)\n" +
				"f:16: check_interval: is forwarded to the sub-runner; a global key stands above the first line in brackets\n" +
				"f:19: paas_keep_resources_for_reuse_seconds: accepted, without effect: each job gets a fresh instance"},
		{"keys of another executor", head + instead(section, `executor = "clever-docker"`, `executor = "local-docker"`),
			"f:10: executor: local-docker: jobs run beside everything else on this engine. One that gets the engine's socket, or privileged = true, owns the computer, and what it starts there is not removed with its instance: for trusted jobs only\n" +
				"f:11: cc_orga_id: has no effect with executor local-docker\nf:12: cc_token: has no effect with executor local-docker\nf:13: cc_extra_env: has no effect with executor local-docker"},
		{"keys of an executor and of another mode", above("host = \"unix:///x\"\ncc_orga_id_attribute = \"x\""),
			"f:13: host: has no effect with executor clever-docker\nf:14: cc_orga_id_attribute: has no effect: it is for cc_multi_tenant = true"},
		{"one organisation for many", above("cc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"n\""),
			"f:11: cc_orga_id: has no effect: with cc_multi_tenant = true each job's top-level group names its organisation\n" +
				"f:12: cc_token: has no effect: with cc_multi_tenant = true each job's top-level group names its organisation"},
		{"no environment", head + section[:strings.Index(section, "[runners.")], `f:6: cc_extra_env: CC_ENABLE_HEPTAPOD_RUNNER = "true" is missing in it; Clever Cloud needs it for now`},
		{"one name twice", head + section + instead(section, `token = "t"`, `token = "u"`), "f:16: name: the section in line 6 has the same name; logs and reference_runner can't tell them apart"},
		{"nobody listens", "paas_advertise_url = \"http://h:1\"\n" + head + section, "f:1: paas_advertise_url: has no effect without listen_address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, strings.Join(mustRead(t, c.text).Warnings, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What Clever Cloud needs is told once: as a missing or an odd value, or by what is wrong with it.
func TestEnvironmentIsToldOnce(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Replace(head+section, `CC_ENABLE_HEPTAPOD_RUNNER = "true"`, "CC_ENABLE_HEPTAPOD_RUNNER = true", 1),
		head + section[:strings.Index(section, "[runners.")] + "cc_extra_env = \"x\"\n",
	} {
		_, err := read(text)
		wrong, ok := errors.AsType[*Error](err)
		if !ok || len(wrong.Problems) != 1 || len(wrong.Partial.Warnings) != 0 {
			t.Errorf("%s: got %v, want one problem and no warning", text, err)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"url", "name", "token", "concurrent", "cc_orga_id"}
	for word, want := range map[string]string{
		"ulr": "url", "tokne": "token", "Token": "token", "concurent": "concurrent", "concurrrrent": "concurrent", "cc_orgaid": "cc_orga_id",
		"x": "", "nose": "", "": "", "token_of_something": "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
