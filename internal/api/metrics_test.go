// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/api"
)

const ours = "heptapod_paas_runner_"

// scrape gives the lines of /metrics that are ours, sorted, with the Go version cut out.
func scrape(t *testing.T, src *source) []string {
	t.Helper()
	w := get(newServer(src, "").Handler(), "GET", "/metrics", nil)
	if w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	var out []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, ours) {
			out = append(out, regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(line, `goversion="go"`))
		}
	}
	return out
}

func TestMetricsOfAServiceAtWork(t *testing.T) {
	t.Parallel()
	golden(t, "metrics.txt", []byte(strings.Join(scrape(t, &source{status: busy()}), "")))
}

func TestEveryStateIsThereFromTheStart(t *testing.T) {
	t.Parallel()
	golden(t, "empty-metrics.txt", []byte(strings.Join(scrape(t, &source{status: api.Status{}}), "")))
}

func TestGoAndProcessMetricsAreThere(t *testing.T) {
	t.Parallel()
	body := get(newServer(&source{status: busy()}, "").Handler(), "GET", "/metrics", nil).Body.String()
	for _, want := range []string{"\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if !strings.Contains(body, want) {
			t.Errorf("no line %q", strings.TrimSpace(want))
		}
	}
}

func TestTwoRunnersOfOneNameDoNotBreakTheScrape(t *testing.T) {
	t.Parallel()
	status := busy()
	status.Runners = append(status.Runners, status.Runners[0])
	if lines := scrape(t, &source{status: status}); !slices.Contains(lines, ours+"poll_failures{runner=\"clever\"} 6\n") {
		t.Errorf("got %v", lines)
	}
}

// TestMetricsAreDocumented holds docs/metrics.md to the code: the same names, types,
// labels and words, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(" + ours + "\\w+)` \\| (\\w+) \\| ([\\w, ]*)\\| (.*) \\|$")
	documented := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2] + "(" + strings.TrimSpace(m[3]) + "): " + m[4]
	}
	if diff := cmp.Diff(documented, described(scrape(t, &source{status: busy()}))); diff != "" {
		t.Errorf("docs/metrics.md against /metrics (-page +code):\n%s", diff)
	}
}

// described gives type, labels and help of each metric from the text format.
func described(lines []string) map[string]string {
	help, kind, labels := map[string]string{}, map[string]string{}, map[string]string{}
	label := regexp.MustCompile(`(\w+)="`)
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.SplitN(line, " ", 4)
		switch {
		case fields[1] == "HELP":
			help[fields[2]] = fields[3]
		case fields[1] == "TYPE":
			kind[fields[2]] = fields[3]
		default:
			name, _, _ := strings.Cut(fields[0], "{")
			var names []string
			for _, m := range label.FindAllStringSubmatch(line, -1) {
				names = append(names, m[1])
			}
			labels[name] = strings.Join(names, ", ")
		}
	}
	out := map[string]string{}
	for name := range help {
		out[name] = kind[name] + "(" + labels[name] + "): " + help[name]
	}
	return out
}
