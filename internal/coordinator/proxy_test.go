// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"heptapod-paas-runner/internal/coordinator"
)

// TestProxyOfTheEnvironment runs itself again with a proxy in the environment, which
// Go reads once in a process's life.
func TestProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if os.Getenv("COORDINATOR_TEST_PROXIED") != "" {
		_, err := newClient(t, "http://gitlab.example").Request(t.Context(), coordinator.RunnerCall{Token: runnerToken})
		clean(t, "through a proxy", err)
		fmt.Println("verdict:", verdict(err))
		return
	}
	asked := make(chan string, 1)
	proxy := serveOnce(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		w.WriteHeader(204)
	})
	if out := again(t, proxy); !strings.Contains(out, "verdict: ok\n") {
		t.Errorf("through a proxy: %s", out)
	}
	select {
	case url := <-asked:
		if url != "http://gitlab.example/api/v4/jobs/request" {
			t.Errorf("the proxy was asked for %s", url)
		}
	default:
		t.Error("the proxy was not asked")
	}
	if out := again(t, "http://user:CANARY@127.0.0.1:1"); !strings.Contains(out, "verdict: transient\n") {
		t.Errorf("through a proxy that is down: %s", out)
	}
}

func again(t *testing.T, proxy string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfTheEnvironment$", "-test.v")
	cmd.Env = []string{"COORDINATOR_TEST_PROXIED=1", "HTTP_PROXY=" + proxy}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return string(out)
}
