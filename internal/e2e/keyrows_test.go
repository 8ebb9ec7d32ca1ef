// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// keyRows are the rows of all keys that the service in the world can show.
func keyRows() map[string]keyRow {
	rows := map[string]keyRow{}
	maps.Copy(rows, globalRows())
	maps.Copy(rows, quotaRows())
	maps.Copy(rows, runnerRows())
	maps.Copy(rows, dockerRows())
	maps.Copy(rows, forwardRows())
	maps.Copy(rows, cleverRows())
	maps.Copy(rows, credentialRows())
	maps.Copy(rows, tenantRows())
	maps.Copy(rows, watchRows())
	return rows
}

func one(s *scene)         { s.job(5, nil) }
func two(s *scene)         { s.job(60, nil); s.job(60, nil) }
func neverStarts(s *scene) { s.job(5, nil); s.bench.deaf.Store(1) }

func wait(d time.Duration) func(*scene) { return func(*scene) { time.Sleep(d) } }

func trace(n int) func(*scene) string {
	return func(s *scene) string {
		for line := range strings.Lines(s.simJobs()[n].Trace) {
			if _, text, ok := strings.Cut(line, "31;1mheptapod-paas-runner: "); ok {
				text, _, _ = strings.Cut(text, "\x1b")
				text, _, _ = strings.Cut(text, ": it waited")
				return text
			}
		}
		return s.simJobs()[n].Status
	}
}

func refusal(s *scene) string {
	if s.err == nil {
		return "good"
	}
	_, text, _ := strings.Cut(s.err.Error(), "paas.toml:")
	_, text, _ = strings.Cut(text, ": ")
	text, _, _ = strings.Cut(text, "; ")
	return text
}

func warned(s *scene) string {
	for _, w := range s.cfg.Warnings {
		if _, text, ok := strings.Cut(w, "accepted"); ok {
			return "accepted" + text
		}
	}
	return ""
}

func globalRows() map[string]keyRow {
	return map[string]keyRow{
		"/state_file": {with: swap("state.db", "other.db"), prepare: one, see: func(s *scene) string {
			found, _ := filepath.Glob(filepath.Join(s.dir, "*.db"))
			return filepath.Base(strings.Join(found, " "))
		}, was: "state.db", is: "other.db"},
		"/concurrent": {with: at("global", "concurrent = 1"), prepare: two, see: func(s *scene) string { return fmt.Sprint(s.together()) }, was: "2", is: "1"},
		"/check_interval": {with: at("global", "check_interval = 200"), play: wait(15 * time.Minute), see: func(s *scene) string {
			if s.asked(gitlabURL, "POST", "/api/v4/jobs/request") < 6 {
				return "seldom"
			}
			return "often"
		}, was: "often", is: "seldom"},
		"/job_progress_poll_interval": {with: at("global", "job_progress_poll_interval = 2"), prepare: func(s *scene) { s.job(90, nil) }, see: func(s *scene) string {
			if s.asked(gitlabURL, "GET", "/api/v4/job") > 30 {
				return "often"
			}
			return "seldom"
		}, was: "seldom", is: "often"},
		"/paas_max_concurrent_provisioning": {
			with: at("global", "paas_max_concurrent_provisioning = 1"), prepare: two,
			see: func(s *scene) string { return s.apart(bootTime) }, was: "at once", is: "later",
		},
		"/paas_max_parked_seconds": {
			with: func(text string) string {
				return swap("reference_jobs_count = 3", "reference_jobs_count = 1", `reference_flavor = "M"`, `reference_flavor = "L"`, "#global", "paas_max_parked_seconds = 30")(text)
			},
			prepare: two, see: trace(1), was: "success", is: "No instance was free for this job within 30s",
		},
		"/paas_min_seconds_between_launches": {
			with: at("global", "paas_min_seconds_between_launches = 45"), prepare: two,
			see: func(s *scene) string { return s.apart(40 * time.Second) }, was: "at once", is: "later",
		},
		"/paas_finished_jobs_keep_resources": {
			with: at("global", "paas_finished_jobs_keep_resources = true"), prepare: one, play: wait(3 * time.Minute),
			see: func(s *scene) string { return s.clever.Applications()[0].State }, was: "deleted", is: "ended",
		},
		"/paas_decommission_launch_failures": {
			with: at("global", "paas_decommission_launch_failures = false"), prepare: neverStarts, play: wait(15 * time.Minute),
			see: func(s *scene) string { return s.clever.Applications()[0].State }, was: "deleted", is: "running",
		},
		"/paas_log_statistics": {
			with: at("global", "paas_log_statistics = true"), prepare: one, see: warned,
			was: "", is: "accepted, without effect: /metrics and status tell more",
		},
		"/job_trace_watch": {
			with: at("tables", "[job_trace_watch]\n  timeout_seconds = 60"), prepare: neverStarts, see: trace(0),
			was: "The instance was made, but its sub-runner has written nothing after 5m0s. Retry the job; if it fails again, tell the operators of this runner.",
			is:  "The instance was made, but its sub-runner has written nothing after 1m0s. Retry the job; if it fails again, tell the operators of this runner.",
		},
		"/paas_advertise_url": {
			with: at("global", "paas_advertise_url = \"http://manager.example:9252\"\nlisten_address = \"127.0.0.1:9252\""), prepare: one,
			see: func(s *scene) string { return has(s.file("relay.json"), "http://manager.example:9252/api/v1/notice") }, was: "no", is: "yes",
		},
		"/paas_relay_image": {
			with: at("global", `paas_relay_image = "registry.example/relay:1"`), prepare: one, play: wait(2 * time.Minute),
			see: func(s *scene) string {
				return has(s.file("Dockerfile"), "COPY --from=registry.example/relay:1 /paas-relay")
			}, was: "no", is: "yes",
		},
		"/quota_computation": {with: swap("[quota_computation]", "[another_table]"), prepare: one, see: refusal, was: "good", is: "quota_computation: missing"},
		"/runners":           {with: swap("[[runners]]", "[[walkers]]", "[runners.", "[walkers."), prepare: one, see: refusal, was: "good", is: "no [[runners]] section"},
	}
}

func quotaRows() map[string]keyRow {
	quota := func(s *scene) string { return s.life.manager.Status().Quota.String() }
	second := swap("reference_runner = \"clever\"", "reference_runner = \"second\"", "#runner\n", "[[runners]]\n  name = \"second\"\n  url = \""+gitlabURL+
		"\"\n  token = \"glrt-canary-second\"\n  executor = \"clever-docker\"\n  cc_orga_id = \"orga_sim\"\n  cc_token = \"sim-cc-token\"\n  cc_api_url = \""+
		cleverURL+"/v2\"\n  cc_flavor_name_prefix = \"heptapod-runner-X\"\n")
	return map[string]keyRow{
		// Of the second runner "L" is XL, and there is no M.
		"quota_computation/reference_runner": {
			with: func(text string) string {
				return swap(`reference_flavor = "M"`, `reference_flavor = "L"`)(second(text))
			},
			play: wait(time.Minute), see: quota, was: "40.362", is: "96",
		},
		"quota_computation/reference_flavor":     {with: swap(`reference_flavor = "M"`, `reference_flavor = "XS"`), play: wait(time.Minute), see: quota, was: "40.362", is: "7.134"},
		"quota_computation/reference_jobs_count": {with: swap("reference_jobs_count = 3", "reference_jobs_count = 8"), play: wait(time.Minute), see: quota, was: "40.362", is: "107.632"},
	}
}

func runnerRows() map[string]keyRow {
	key := func(s *scene) string {
		owner, _, _ := fleet.ParseKey(s.clever.Applications()[0].Name)
		return string(owner)
	}
	ownerOf := func(token string) string {
		owner, err := fleet.OwnerOf(token, gitlabURL)
		if err != nil {
			panic(err)
		}
		return string(owner)
	}
	return map[string]keyRow{
		"runners/name": {
			with: swap(`"clever"`, `"sized"`), prepare: one, was: "clever", is: "sized",
			see: func(s *scene) string {
				_, text, _ := strings.Cut(s.simJobs()[0].Trace, "acquired by ")
				name, _, _ := strings.Cut(text, ";")
				return name
			},
		},
		"runners/url": {
			with: swap(gitlabURL, heptapodURL), was: "pending", is: "success", play: wait(3 * time.Minute),
			prepare: func(s *scene) {
				s.coordinator(heptapodURL)
				s.queueAt(heptapodURL, map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
			},
			see: func(s *scene) string { return s.simJobs()[0].Status },
		},
		"runners/token":    {with: swap(gitlab.RunnerToken, "glrt-canary-second"), prepare: one, see: key, was: ownerOf(gitlab.RunnerToken), is: ownerOf("glrt-canary-second")},
		"runners/executor": {with: swap(`"clever-docker"`, `"clever-service-docker"`), prepare: one, see: refusal, was: "good", is: `executor: found "clever-service-docker", which is replaced by "clever-docker"`},
		"runners/limit":    {with: at("runner", "limit = 1"), prepare: two, see: func(s *scene) string { return fmt.Sprint(s.together()) }, was: "2", is: "1"},
		"runners/admission": {
			with: at("runner", `admission = "strict"`), prepare: two,
			see: func(s *scene) string { return s.apart(time.Minute) }, was: "at once", is: "later",
		},
		"runners/paas_owner": {with: at("runner", `paas_owner = "pinnedmark"`), prepare: one, see: key, was: ownerOf(gitlab.RunnerToken), is: "pinnedmark"},
		"runners/heptapod_paas_runner_helper_image": {
			with: at("runner", `heptapod_paas_runner_helper_image = "helper:1"`), prepare: one, see: warned,
			was: "", is: "accepted, without effect: there is no helper service on the instances",
		},
		"runners/paas_keep_resources_for_reuse_seconds": {
			with: at("runner", `paas_keep_resources_for_reuse_seconds = 120`), prepare: one, see: warned,
			was: "", is: "accepted, without effect: each job gets a fresh instance",
		},
		"runners/job_trace_watch": {
			with: at("env", "  [runners.job_trace_watch]\n    timeout_seconds = 30"), prepare: neverStarts, see: trace(0),
			was: "The instance was made, but its sub-runner has written nothing after 5m0s. Retry the job; if it fails again, tell the operators of this runner.",
			is:  "The instance was made, but its sub-runner has written nothing after 30s. Retry the job; if it fails again, tell the operators of this runner.",
		},
	}
}

// forwardRows are the keys whose effect is in what an instance is given.
func forwardRows() map[string]keyRow {
	toml := func(part string) func(*scene) string {
		return func(s *scene) string { return has(s.file("runner.toml"), part) }
	}
	certificates := func(s *scene) {
		one(s)
		ca, key, text := certificate(s.t, nil, nil)
		_, own, signed := certificate(s.t, ca, key)
		der, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			s.t.Fatal(err)
		}
		secret := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
		for name, content := range map[string][]byte{"ca.pem": text, "client.pem": signed, "client.key": secret} {
			if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	started := wait(20 * time.Second)
	pair := at("runner", "  tls-cert-file = \"client.pem\"\n  tls-key-file = \"client.key\"")
	return map[string]keyRow{
		"runners/request_concurrency": {with: at("runner", "request_concurrency = 4"), prepare: one, see: toml("request_concurrency = 4"), was: "no", is: "yes"},
		"runners/tls-ca-file":         {with: at("runner", `tls-ca-file = "ca.pem"`), prepare: certificates, play: started, see: toml(`tls-ca-file = "/etc/heptapod-runner/coordinator-ca.pem"`), was: "no", is: "yes"},
		"runners/tls-cert-file":       {with: pair, prepare: certificates, play: started, see: toml(`tls-cert-file = "/etc/heptapod-runner/client-cert.pem"`), was: "no", is: "yes"},
		"runners/tls-key-file":        {with: pair, prepare: certificates, play: started, see: func(s *scene) string { first, _, _ := strings.Cut(s.file("client-key.pem"), "\n"); return first }, was: "no such file", is: "-----BEGIN EC PRIVATE KEY-----"},
		"runners/sub_runner": {
			with: at("runner", `sub_runner = "exec-fetched-job"`), prepare: one,
			see: func(s *scene) string { return has(s.file("Dockerfile"), `"exec-fetched-job"`) }, was: "no", is: "yes",
		},
		"runners/heptapod_runner_main_image": {
			with: at("runner", `heptapod_runner_main_image = "registry.example/runner:9"`), prepare: one,
			see: func(s *scene) string { first, _, _ := strings.Cut(s.file("Dockerfile"), "\n"); return first },
			was: "FROM " + config.DefaultMainImage, is: "FROM registry.example/runner:9",
		},
		"runners/paas_relay_subnet": {
			with: at("runner", `paas_relay_subnet = "10.200.0.0/24"`), prepare: one,
			see: func(s *scene) string { return has(s.file("relay.json"), "10.200.0.0/24") }, was: "no", is: "yes",
		},
		"runners/paas_dependency_proxy": {
			with:    at("runner", "paas_dependency_proxy = false"),
			prepare: func(s *scene) { s.job(5, map[string]any{"image": "debian:bookworm"}) },
			see:     func(s *scene) string { return has(s.file("job.json"), "/library/debian:bookworm") }, was: "yes", is: "no",
		},
	}
}

func cleverRows() map[string]keyRow {
	app := func(see func(clever.Application) string) func(*scene) string {
		return func(s *scene) string {
			apps := s.clever.Applications()
			if len(apps) == 0 {
				return "no instance"
			}
			return see(apps[0])
		}
	}
	size := app(func(a clever.Application) string { return a.Flavor })
	return map[string]keyRow{
		"runners/cc_api_url": {
			with: swap(cleverURL, otherURL), prepare: one, was: "clever.example", is: "other.example",
			see: func(s *scene) string { return s.host },
		},
		"runners/cc_zone":           {with: at("runner", `cc_zone = "rbx"`), prepare: one, see: app(func(a clever.Application) string { return a.Zone }), was: "par", is: "rbx"},
		"runners/cc_default_flavor": {with: at("runner", `cc_default_flavor = "S"`), prepare: one, see: size, was: "heptapod-runner-M", is: "heptapod-runner-S"},
		"runners/cc_max_flavor": {
			with: at("runner", `cc_max_flavor = "S"`), prepare: func(s *scene) { s.job(5, flavor("L")) }, see: trace(0), was: "success",
			is: "This job can't run here: flavor L is larger than this runner allows (at most S). Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, S; or use another runner.",
		},
		"runners/cc_allowed_flavors": {
			with: at("runner", `cc_allowed_flavors = ["XS", "M"]`), prepare: func(s *scene) { s.job(5, flavor("S")) }, see: trace(0), was: "success",
			is: "This job can't run here: flavor S is not one that this runner allows. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, M; or use another runner.",
		},
		"runners/cc_flavor_context": {
			with: at("runner", `cc_flavor_context = "other-runner"`), play: wait(time.Minute), was: "heptapod-runner", is: "other-runner",
			see: func(s *scene) string {
				for _, r := range s.requests(cleverURL) {
					if r.Path == "/v2/products/flavors" {
						return query(r, "context")
					}
				}
				return ""
			},
		},
		"runners/cc_flavor_name_prefix": {
			with:    swap("#runner", `cc_flavor_name_prefix = "heptapod-runner-X"`, `reference_flavor = "M"`, `reference_flavor = "L"`),
			prepare: func(s *scene) { s.job(5, flavor("L")) }, see: size, was: "heptapod-runner-L", is: "heptapod-runner-XL",
		},
		"runners/cc_instance_variant_uuid": {
			with: at("runner", `cc_instance_variant_uuid = "00000000-0000-4000-8000-000000000001"`), prepare: one, play: wait(time.Minute),
			see: func(s *scene) string {
				return has(strings.Join(s.bodies, ""), `"instanceVariant":"00000000-0000-4000-8000-000000000001"`)
			}, was: "no", is: "yes",
		},
		"runners/cc_deployment_repo_timeout": {
			with: at("runner", "cc_deployment_repo_timeout = 0.2"), prepare: one,
			see: func(s *scene) string {
				s.logMu.Lock()
				defer s.logMu.Unlock()
				return has(s.log.String(), "wait for the deployment repository: not there after 200ms")
			}, was: "no", is: "yes",
		},
		"runners/cc_deployment_repo_wait_step": {
			with: at("runner", "cc_deployment_repo_wait_step = 0.02"), prepare: one, play: wait(time.Minute),
			see: func(s *scene) string {
				if s.asked(cleverURL, "GET", "/v2/organisations/orga_sim/applications/*") > 12 {
					return "often"
				}
				return "seldom"
			}, was: "seldom", is: "often",
		},
		"runners/cc_extra_env": {
			with: at("env", "    MY_OWN = \"yes\""), prepare: one,
			see: app(func(a clever.Application) string { return a.Env["MY_OWN"] }), was: "", is: "yes",
		},
	}
}
