// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// What holds when the file does not say otherwise. The table of keys and the
// documentation give the same values; a test holds them together.
const (
	DefaultConcurrent          = 50               // concurrent
	DefaultCheckInterval       = 3 * time.Second  // check_interval
	DefaultJobProgressInterval = 30 * time.Second // job_progress_poll_interval
	DefaultMaxProvisioning     = 10               // paas_max_concurrent_provisioning
	DefaultMaxParked           = 10 * time.Minute // paas_max_parked_seconds
	DefaultMinBetweenLaunches  = time.Duration(0) // paas_min_seconds_between_launches

	DefaultKeepFinished               = false // paas_finished_jobs_keep_resources
	DefaultDecommissionLaunchFailures = true  // paas_decommission_launch_failures

	DefaultLimit              = 0 // limit: none
	DefaultRequestConcurrency = 1 // request_concurrency
	DefaultAdmission          = AdmissionPark
	DefaultSubRunner          = ModeRelay
	// DefaultMainImage is the image of Heptapod Runner that instances are built from.
	DefaultMainImage = "registry.heptapod.net:443/heptapod/heptapod-runner/runner:0.7.0"

	DefaultTraceTimeout  = 5 * time.Minute  // job_trace_watch: timeout_seconds
	DefaultTracePollStep = 10 * time.Second // job_trace_watch: poll_step

	DefaultAPIURL             = "https://api.clever-cloud.com/v2"      // cc_api_url
	DefaultZone               = "par"                                  // cc_zone
	DefaultFlavor             = "M"                                    // cc_default_flavor
	DefaultFlavorContext      = "heptapod-runner"                      // cc_flavor_context
	DefaultVariantUUID        = "70d676a0-a775-4dc9-a43d-3121036e8515" // cc_instance_variant_uuid
	DefaultAuthUser           = "Jenkins"                              // cc_auth_user
	DefaultAuth               = AuthToken                              // cc_auth
	DefaultOAuthSignature     = "plaintext"                            // cc_oauth_signature
	DefaultRepoTimeout        = 20 * time.Second                       // cc_deployment_repo_timeout
	DefaultPullPolicy         = PullMissing                            // paas_docker_pull_policy
	DefaultRepoWaitStep       = 2 * time.Second                        // cc_deployment_repo_wait_step
	DefaultOrgaIDAttribute    = "cc_orga_id"                           // cc_orga_id_attribute
	DefaultOrgaTokenAttribute = "cc_orga_token"                        // cc_orga_token_attribute
)

// The ways in which a job is run on its instance (`sub_runner`).
const (
	ModeRelay = "relay"
	ModeExec  = "exec-fetched-job"
)

// When a coordinator is asked for a job (`admission`).
const (
	AdmissionPark   = "park"   // while the smallest allowed flavor fits; a bigger job waits
	AdmissionStrict = "strict" // only while the largest allowed flavor fits
)

// How Clever Cloud's API is shown a credential (`cc_auth`).
const (
	AuthToken  = "token"  // an organisation's token
	AuthBearer = "bearer" // a service token; on the bridge's host an API token
	AuthOAuth1 = "oauth1" // a user's token and secret, signed with those of a consumer
)

// The executors that there are (`executor`).
const (
	ExecutorClever = "clever-docker"
	ExecutorDocker = "local-docker"
)
