// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// The scripts run the program as people do, against the simulated GitLab.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		name: func() { os.Exit(program(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			server := httptest.NewServer(gitlab.New(gitlab.Config{Seed: 1}))
			env.Defer(server.Close)
			env.Setenv("GITLAB", server.URL)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"fault": fault,
			"check": check,
			"grown": grown,
		},
	})
}

// serve starts a simulated GitLab and names a file in a folder of its own.
func serve(t *testing.T) (url, file string) {
	t.Helper()
	server := httptest.NewServer(gitlab.New(gitlab.Config{Seed: 1}))
	t.Cleanup(server.Close)
	return server.URL, filepath.Join(t.TempDir(), "paas.toml")
}

// exits CODE PROGRAM ARGS... runs the program and wants this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v: %v", args[1:], err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%v ended with exit code %d, want %s", args[1:], code, args[0])
	}
}

// fault JSON makes the simulator answer a call as the JSON says.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fault JSON")
	}
	response, err := http.Post(ts.Getenv("GITLAB")+"/_sim/faults", "application/json", strings.NewReader(args[0]))
	ts.Check(err)
	ts.Check(response.Body.Close())
	if response.StatusCode != http.StatusCreated {
		ts.Fatalf("fault: %s", response.Status)
	}
}

// check FILE RUNNERS wants a file that the service takes without a warning, but for one
// about local-docker, with so many runners.
func check(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: check FILE RUNNERS")
	}
	cfg, err := config.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, warning := range cfg.Warnings {
		if !strings.Contains(warning, "local-docker") {
			ts.Fatalf("warning: %s", warning)
		}
	}
	if strconv.Itoa(len(cfg.Runners)) != args[1] {
		ts.Fatalf("%d runners, want %s", len(cfg.Runners), args[1])
	}
}

// grown OLD NEW wants that a file begins with another one, byte by byte, and goes on.
func grown(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grown OLD NEW")
	}
	before, after := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	if !strings.HasPrefix(after, before) || len(after) == len(before) {
		ts.Fatalf("%s does not go on where %s ends:\n%s", args[1], args[0], after)
	}
}

// Each option is in the help with its environment variable, and the other way round.
func TestHelpNamesTheEnvironment(t *testing.T) {
	t.Parallel()
	var help strings.Builder
	if code := program([]string{"--help"}, os.Stdin, &help, &help); code != 0 {
		t.Fatal(code)
	}
	text := strings.Join(strings.Fields(help.String()), " ")
	for _, env := range []string{
		"CONFIG_FILE", "REGISTER_NON_INTERACTIVE", "CI_SERVER_URL", "CI_SERVER_TOKEN", "REGISTRATION_TOKEN", "RUNNER_NAME", "RUNNER_EXECUTOR",
		"RUNNER_TAG_LIST", "REGISTER_RUN_UNTAGGED", "REGISTER_LOCKED", "REGISTER_PAUSED", "REGISTER_ACCESS_LEVEL", "REGISTER_MAXIMUM_TIMEOUT",
		"REGISTER_MAINTENANCE_NOTE", "REGISTER_LEAVE_RUNNER", "TEMPLATE_CONFIG_FILE", "CI_SERVER_TLS_CA_FILE", "CI_SERVER_TLS_CERT_FILE",
		"CI_SERVER_TLS_KEY_FILE", "RUNNER_LIMIT", "DOCKER_IMAGE", "CC_ORGA_ID", "CC_TOKEN", "CC_TOKEN_FILE", "CC_AUTH", "CC_MULTI_TENANT",
		"CC_GITLAB_NAMESPACE_ATTRIBUTES_TOKEN", "CC_API_URL", "CC_ZONE", "CC_DEFAULT_FLAVOR", "CC_MAX_FLAVOR",
		"REGISTER_STATE_FILE_PATH", "REGISTER_MAX_CONCURRENCY", "REGISTER_QUOTA_FLAVOR", "REGISTER_QUOTA_JOBS",
	} {
		if !strings.Contains(text, "($"+env+")") {
			t.Errorf("--help does not name $%s", env)
		}
	}
	if got := strings.Count(text, "($"); got != 35 {
		t.Errorf("--help names %d variables", got)
	}
}
