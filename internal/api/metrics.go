// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"heptapod-paas-runner/internal/fleet"
)

const namespace = "heptapod_paas_runner"

// results are the ends of jobs that are always shown, if only as 0.
var results = []string{"success", "failed", "canceled", "unknown"}

// collector makes the service's own metrics out of one picture for each scrape. Every
// metric is listed in docs/metrics.md.
type collector struct {
	server *Server

	build, ready, used, quota      *prometheus.Desc
	concurrent, concurrentLimit    *prometheus.Desc
	provisioning, provisioningMax  *prometheus.Desc
	jobs, instances, strangers     *prometheus.Desc
	closed, pollFailures, fuseDown *prometheus.Desc
	lostGrants                     *prometheus.Desc
	unexplained, proven            *prometheus.Desc
	credentials, breakers          *prometheus.Desc
}

// metrics gives the handler of /metrics, on a registry of its own.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(s), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8})
}

func newCollector(s *Server) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &collector{
		server:          s,
		build:           desc("build_info", "Constant 1, with the version of the program.", "version", "goversion"),
		ready:           desc("ready", "1 when the service takes jobs, as /readyz says."),
		used:            desc("weight_used", "Weight of all instances that are not confirmed absent (I3)."),
		quota:           desc("weight_quota", "Weight allowed at once."),
		concurrent:      desc("open_jobs", "Jobs that are not closed."),
		concurrentLimit: desc("open_jobs_limit", "Jobs allowed at once (`concurrent`)."),
		provisioning:    desc("provisioning", "Instances that do not run their job yet."),
		provisioningMax: desc("provisioning_limit", "Instances allowed to be starting at once."),
		jobs:            desc("jobs", "Open jobs by state.", "state"),
		instances:       desc("instances", "Instances that are not confirmed absent, by state.", "state"),
		strangers:       desc("strangers", "Instances with a key of ours that no record explains."),
		unexplained:     desc("audit_unexplained", "Instances and records that audit does not explain."),
		proven:          desc("audit_proven_timestamp_seconds", "When the oldest list of a cloud that audit compares was taken, in seconds since 1970; 0 when a cloud never answered."),
		closed:          desc("jobs_total", "Jobs closed since the start, by result.", "result"),
		lostGrants:      desc("jobs_lost_at_acquisition_total", "Jobs found since the start that the coordinator had granted and that were not recorded (I1)."),
		pollFailures:    desc("poll_failures", "Job requests that failed in a row, by runner.", "runner"),
		credentials:     desc("credential_expires_timestamp_seconds", "When a credential for the cloud ends, as far as known, in seconds since 1970.", "runner", "tenant"),
		breakers:        desc("breakers_open", "Kinds of instances (tenant, zone, flavor) that are not made because they failed in a row (I8)."),
		fuseDown:        desc("fuse_blown", "1 when a fuse stops the destruction of unrecorded instances (I4)."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.build, c.ready, c.used, c.quota, c.concurrent, c.concurrentLimit, c.provisioning, c.provisioningMax,
		c.jobs, c.instances, c.strangers, c.closed, c.lostGrants, c.pollFailures, c.fuseDown, c.credentials, c.breakers,
		c.unexplained, c.proven,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A manager that does not answer fails the
// scrape: stale figures would hide it.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	status, err := c.server.ask(context.Background())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.ready, err)
		return
	}
	gauge(c.build, 1, c.server.cfg.Version, runtime.Version())
	gauge(c.ready, flag(status.Ready))
	gauge(c.used, weight(status.Quota.Used))
	gauge(c.quota, weight(status.Quota.Total))
	gauge(c.concurrent, float64(status.Concurrent.Used))
	gauge(c.concurrentLimit, float64(status.Concurrent.Limit))
	gauge(c.provisioning, float64(status.Provisioning.Used))
	gauge(c.provisioningMax, float64(status.Provisioning.Limit))
	gauge(c.strangers, float64(len(status.Strangers)))
	gauge(c.unexplained, float64(status.Unexplained))
	gauge(c.proven, unixSeconds(status.ProvenAt))
	gauge(c.fuseDown, flag(status.Fuse != ""))
	gauge(c.breakers, float64(len(slices.DeleteFunc(slices.Clone(status.Breakers), func(b Breaker) bool { return b.State == "closed" }))))
	for state, n := range jobCounts(status.Jobs) {
		gauge(c.jobs, float64(n), state)
	}
	for state, n := range instanceCounts(status.Instances) {
		gauge(c.instances, float64(n), state)
	}
	for result, n := range resultCounts(status.Results) {
		ch <- prometheus.MustNewConstMetric(c.closed, prometheus.CounterValue, float64(n), result)
	}
	ch <- prometheus.MustNewConstMetric(c.lostGrants, prometheus.CounterValue, float64(status.LostGrants))
	for runner, n := range failureCounts(status.Runners) {
		gauge(c.pollFailures, float64(n), runner)
	}
	for who, at := range credentialEnds(status.Runners) {
		gauge(c.credentials, float64(at), who[0], who[1])
	}
}

// credentialEnds gives the first end by runner and tenant: two groups may name one tenant,
// and two runners have one name.
func credentialEnds(runners []Runner) map[[2]string]int64 {
	out := map[[2]string]int64{}
	for _, r := range runners {
		for _, c := range r.Credentials {
			who, at := [2]string{r.Name, c.Tenant}, c.EndsAt.Unix()
			if first, there := out[who]; !there || at < first {
				out[who] = at
			}
		}
	}
	return out
}

func jobCounts(jobs []Job) map[string]int {
	out := map[string]int{}
	for _, s := range fleet.JobStates() {
		out[string(s)] = 0
	}
	for _, j := range jobs {
		out[j.State]++
	}
	return out
}

func instanceCounts(instances []Instance) map[string]int {
	out := map[string]int{}
	for _, s := range fleet.InstanceStates() {
		out[string(s)] = 0
	}
	for _, i := range instances {
		out[i.State]++
	}
	return out
}

func resultCounts(closed map[string]int) map[string]int {
	out := map[string]int{}
	for _, r := range results {
		out[r] = 0
	}
	maps.Copy(out, closed)
	return out
}

// failureCounts adds up runners of one name, which would be the same series.
func failureCounts(runners []Runner) map[string]int {
	out := map[string]int{}
	for _, r := range runners {
		out[r.Name] += r.PollFailures
	}
	return out
}

// unixSeconds gives a time as metrics do; 0 when there is none.
func unixSeconds(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.Unix())
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// weight reads a weight of the wire; what is no number shows as 0.
func weight(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return v
}
