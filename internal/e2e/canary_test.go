// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// nowhere are the secrets that leave the process in no way but in calls to whom they are
// for; each is used by the service of this test, and has a value of its own.
func nowhere() map[string]string {
	return map[string]string{
		"runner token": "glrt-CANARYplain0123456789", "runner token of many tenants": "glrt-CANARYmany00123456789", "runner token of the user": "glrt-CANARYuser00123456789",
		"runner token behind a proxy": "glrt-CANARYproxy0123456789", "administrator": gitlab.AdminToken, "listener": "CANARY-listen-token",
		"registration": gitlab.RegistrationToken, "proxy": "CANARY-proxy-password", "mistyped token": "glrt-CANARYmistyped456789", "mistyped registration": "CANARY-mistyped-registration",
	}
}

// ofCloud are those of the cloud's: the coordinator does not see them either.
func ofCloud() map[string]string {
	return map[string]string{
		"cc_token": "CANARY-cc-token", "another's cc_token": "CANARY-wrong-token", "group attribute": "CANARY-tenant-token",
		"consumer secret": "CANARY-consumer-secret", "OAuth token": "CANARY-oauth-token", "OAuth secret": "CANARY-oauth-secret",
		"git password": "CANARY-git-password", "token in the other attribute": "CANARY-mixed-up-token",
	}
}

// forwardedSecrets are those that the operator writes into the forwarded part: in runner.toml of
// each instance, as documented, and nowhere else.
func forwardedSecrets() map[string]string {
	return map[string]string{"S3 access key": "CANARY-s3-access", "S3 secret key": "CANARY-s3-secret", "registry": "CANARY-registry-password"}
}

// ofJobs are those of a job: on its own instance only, in what it was given.
func ofJobs() map[string]string {
	return map[string]string{"job token": "glcbt-", "masked variable": "CANARY-masked-variable", "open variable": "CANARY-open-variable"}
}

// canary is a town that is searched for secrets.
type canary struct {
	*town
	sieve
	gitlabURL, cleverURL string // as the service knows them: what it sends is written down
	traffic              traffic
	key                  string // a line in the middle of the client's key
	herald               *net.UnixConn
}

// all is every secret.
func (n *canary) all() map[string]string {
	return everywhere(nowhere(), ofCloud(), forwardedSecrets(), ofJobs(), map[string]string{"client's key": n.key})
}

// but is all except some.
func (n *canary) but(less ...map[string]string) map[string]string {
	out := n.all()
	for name := range everywhere(less...) {
		delete(out, name)
	}
	return out
}

// watched configures four runners, with a secret of every kind.
func (n *canary) watched() {
	s := n.all()
	n.port = freePort(n.t)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_plain", map[string]any{"token": s["cc_token"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/users/user_git", map[string]any{"token": "git-user", "secret": s["git password"], "organisations": []string{"orga_plain"}}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_tenant", map[string]any{"token": s["group attribute"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/organisations/orga_user", map[string]any{"token": "unused"}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/consumers/watched", map[string]any{"secret": s["consumer secret"]}, nil)
	n.call(http.MethodPut, n.clever+"/_sim/users/user_watched", map[string]any{
		"token": s["OAuth token"], "secret": s["OAuth secret"], "organisations": []string{"orga_user"},
	}, nil)
	group := func(name, org, token string) {
		n.call(http.MethodPut, n.gitlab+"/_sim/groups/"+name+"/attributes", map[string]string{"cc_orga_id": org, "cc_orga_token": token}, nil)
	}
	group("good", "orga_tenant", s["group attribute"])
	group("bad", "orga_tenant", s["another's cc_token"])
	group("mixed", s["token in the other attribute"], "orga_tenant")
	var text strings.Builder
	fmt.Fprintf(&text, "state_file = %q\nlisten_address = \"127.0.0.1:%s\"\npaas_listen_token = %q\ncheck_interval = 0.2\njob_progress_poll_interval = 0.3\n",
		filepath.Join(n.dir, "state", "state.db"), n.port, s["listener"])
	fmt.Fprintf(&text, "paas_advertise_url = \"http://127.0.0.1:%s\"\n[quota_computation]\nreference_runner = \"plain\"\nreference_flavor = \"M\"\nreference_jobs_count = 8\n", n.port)
	for name, lines := range map[string]string{
		"plain": fmt.Sprintf("url = %q\ncc_orga_id = \"orga_plain\"\ncc_token = %q\ncc_git_user = \"git-user\"\ncc_git_password = %q\ntoken = %q\ntls-cert-file = %q\ntls-key-file = %q\n",
			n.gitlabURL, s["cc_token"], s["git password"], s["runner token"], filepath.Join(n.dir, "cert.pem"), filepath.Join(n.dir, "key.pem")),
		"many": fmt.Sprintf("url = %q\ncc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = %q\ntoken = %q\n",
			n.gitlabURL, s["administrator"], s["runner token of many tenants"]),
		"user": fmt.Sprintf("url = %q\ncc_orga_id = \"orga_user\"\ncc_auth = \"oauth1\"\ncc_consumer_key = \"watched\"\ncc_consumer_secret = %q\ncc_oauth_token = %q\ncc_oauth_secret = %q\ntoken = %q\n",
			n.gitlabURL, s["consumer secret"], s["OAuth token"], s["OAuth secret"], s["runner token of the user"]),
		"away": fmt.Sprintf("url = \"https://coordinator.invalid\"\ncc_orga_id = \"orga_plain\"\ncc_token = %q\ntoken = %q\n",
			s["cc_token"], s["runner token behind a proxy"]),
	} {
		fmt.Fprintf(&text, `[[runners]]
name = %q
executor = "clever-docker"
cc_api_url = %q
environment = ["DOCKER_AUTH_CONFIG=%s"]
%s[runners.job_trace_watch]
poll_step = 0.2
token = %q
[runners.cc_extra_env]
CC_ENABLE_HEPTAPOD_RUNNER = "true"
[runners.cache]
Type = "s3"
[runners.cache.s3]
AccessKey = %q
SecretKey = %q
`, name, n.cleverURL+"/v2", s["registry"], lines, s["administrator"], s["S3 access key"], s["S3 secret key"])
	}
	n.write("paas.toml", text.String())
}

func (n *town) write(name, text string) string {
	path := filepath.Join(n.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *town) text(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(raw)
}

// pair makes a client's certificate; the middle line of its key is the secret.
func (n *canary) pair() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "runner"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		n.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	n.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	n.write("key.pem", text)
	n.key = strings.Split(text, "\n")[2]
}

// launch starts the service with a proxy in its environment, a service manager that
// listens, and this form of log.
func (n *canary) launch(form string) {
	service := exec.Command(n.program, "--log-level", "debug", "--log-format", form, n.config)
	service.Env = append(os.Environ(), "HTTPS_PROXY=http://user:"+nowhere()["proxy"]+"@127.0.0.1:1", "NOTIFY_SOCKET="+filepath.Join(n.dir, "notify"),
		"TMPDIR="+filepath.Join(n.dir, "tmp"))
	service.Stdout, service.Stderr = n.log, n.log
	if err := service.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.service = service
	n.t.Cleanup(func() {
		if service.ProcessState == nil {
			_ = service.Process.Kill()
			_ = service.Wait()
		}
	})
}

// newCanary prepares all but the service.
func newCanary(t *testing.T, overlay string) *canary {
	n := &canary{town: newTownOf(t, "300ms", overlay)}
	for _, folder := range []string{"tmp", "home"} {
		if err := os.Mkdir(filepath.Join(n.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.pair()
	n.gitlabURL, n.cleverURL = n.traffic.record(t, "coordinator", n.gitlab), n.traffic.record(t, "cloud", n.clever)
	n.watched()
	var err error
	if n.herald, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(n.dir, "notify"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.herald.Close() })
	return n
}

// play runs the service through all that makes it say something, and searches all of it.
func (n *canary) play() {
	variables := map[string]any{"SHOWN": ofJobs()["open variable"], "HIDDEN": map[string]any{"value": ofJobs()["masked variable"], "masked": true}}
	wait := "while [ ! -e " + filepath.Join(n.dir, "go") + " ]; do sleep 0.1; done"
	for _, project := range []string{"good/one", "bad/two", "good/three", "mixed/four", "bad/five", "good/six", "mixed/seven", "good/eight"} {
		n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{"script": []string{wait}, "project": project, "variables": variables}, nil)
	}
	for _, f := range []map[string]any{
		{"match": "GET /v2/organisations/orga_plain/applications", "times": 3, "status": 401, "body": `{"id":2001,"message":"no such token ` + ofCloud()["cc_token"] + `","type":"error"}`},
		{"match": "GET /git/*/info/refs", "status": 500}, {"match": "POST /git/*/git-receive-pack", "drop": "before"},
	} {
		n.call(http.MethodPost, n.clever+"/_sim/faults", f, nil)
	}
	n.call(http.MethodPost, n.gitlab+"/_sim/faults", map[string]any{"match": "PATCH /api/v4/jobs/*/trace", "status": 500, "body": `{"message":"for ` + nowhere()["runner token"] + `"}`}, nil)
	demo := n.demo()
	n.launch("text")
	n.says("state=running")
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && running(n.applications()) < 2; {
		time.Sleep(100 * time.Millisecond)
	}
	n.repositories()
	n.pages()
	n.commands()
	n.registers()
	n.processes()
	n.onDisk(n.but(ofJobs()))
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		_ = n.service.Process.Signal(s)
	}
	n.says("msg=state dump=")
	n.says("configuration reloaded")
	n.stop(syscall.SIGQUIT) // as after a panic: all that Go can tell of its stacks
	n.says("goroutine ")
	n.write("go", "")
	n.launch("json")
	n.says(`"msg":"recovered"`)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && n.open(); {
		time.Sleep(300 * time.Millisecond)
	}
	_ = n.service.Process.Signal(syscall.SIGUSR1)
	n.says(`"msg":"state"`)
	n.stop(syscall.SIGTERM)
	n.lacks("log", n.text(n.log.Name()), n.all())
	n.instances()
	n.onDisk(n.all())
	n.messages()
	n.calls()
	demo()
	for _, j := range n.jobs() {
		n.lacks("trace", j.Trace, n.all())
	}
}

// The real program, with a secret of its own of every kind: none is in anything that leaves
// the process, but where docs/security.md says so.
func TestNoSecretLeavesTheProcess(t *testing.T) {
	t.Parallel()
	n := newCanary(t, "")
	n.play()
	for _, leak := range n.found {
		t.Errorf("I7: %s", leak)
	}
	given := everywhere(ofCloud(), nowhere())
	for _, elsewhere := range []string{"runner token behind a proxy", "listener", "registration", "proxy", "mistyped token", "mistyped registration", "token in the other attribute"} {
		delete(given, elsewhere)
	}
	for _, name := range n.traffic.unused(given) {
		t.Errorf("nobody was shown the %s: what is said of it here?", name)
	}
	for _, kind := range places() {
		if n.seen[kind] == 0 {
			t.Errorf("nothing was read of: %s", kind)
		}
	}
}
