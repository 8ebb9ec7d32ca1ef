// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Heptapod job with a Mercurial repository goes through as it is: fields that no
// GitLab knows stay, and no clone_url is set, which would send the runner to Git.
func TestHeptapodJobIsForwardedUnchanged(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{
			"script": []string{"hg id"}, "virtual_seconds": 5, "project": "sim/evolve",
			"variables": map[string]any{"HGPLAIN": "1", "CI_CLEVER_CLOUD_FLAVOR": "XS"},
			"payload": map[string]any{
				"git_info": map[string]any{
					"repo_url": "http://gitlab-ci-token:x@gitlab.example/sim/evolve", "repo_type": "hg", "ref": "topic/default/wip",
					"refspecs": []string{"topic/default/wip"},
				},
				"hg_config": map[string]any{"extensions": map[string]any{"evolve": ""}, "keep": []int{1, 2}},
			},
		}, "success")
	}, func(w *world) {
		app := w.clever.Applications()[0]
		for _, want := range []string{`"repo_type":"hg"`, `"hg_config":{"extensions":{"evolve":""},"keep":[1,2]}`, `"topic/default/wip"`, `"HGPLAIN"`} {
			if got := fmt.Sprint(app.Files["job.json"]); !strings.Contains(got, want) {
				t.Errorf("%s is not in the pushed job:\n%s", want, got)
			}
		}
		if got := fmt.Sprint(app.Files["runner.toml"]); strings.Contains(got, "clone_url") {
			t.Errorf("clone_url is set for a Mercurial project:\n%s", got)
		}
	})
}

// A coordinator with a certificate of its own authority that asks for client
// certificates: the manager, and the instances in both sub-runner modes, get through,
// artifacts included.
func TestPrivateAuthorityAndClientCertificates(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"relay", "exec-fetched-job"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			n := newTown(t)
			front := n.secureFront()
			n.rewrite(n.gitlab, front, fmt.Sprintf("  sub_runner = %q\n  tls-ca-file = \"ca.pem\"\n  tls-cert-file = \"client.pem\"\n  tls-key-file = \"client.key\"\n", mode))
			n.call(http.MethodPost, n.gitlab+"/_sim/jobs", map[string]any{
				"script": []string{"echo artifact > out.txt", "echo finished"}, "artifacts": map[string]any{"paths": []string{"out.txt"}},
			}, nil)
			n.start()
			if !n.settledFor(front, 60*time.Second) {
				t.Errorf("not settled: %+v", n.applications())
			}
			n.stop(syscall.SIGTERM)
			if j := n.jobs()[0]; j.Status != "success" || !strings.Contains(j.Trace, "201 Created") {
				t.Errorf("the job ended %s (%s):\n%s", j.Status, j.FailureReason, j.Trace)
			}
			for name, want := range map[string]string{
				"coordinator-ca.pem": "ca.pem", "client-cert.pem": "client.pem", "client-key.pem": "client.key",
			} {
				text, err := os.ReadFile(filepath.Join(n.dir, want))
				if err != nil {
					t.Fatal(err)
				}
				if got := n.applications()[0].Files[name]; got != string(text) {
					t.Errorf("%s was pushed as %q, want what is in %s", name, got, want)
				}
			}
			n.checkSecrets()
		})
	}
}

// rewrite changes the coordinator of the configured runner and adds keys to it.
func (n *town) rewrite(from, to, keys string) {
	text, err := os.ReadFile(n.config)
	if err != nil {
		n.t.Fatal(err)
	}
	changed := strings.Replace(string(text), from, to, 1)
	changed = strings.Replace(changed, "  executor = ", keys+"  executor = ", 1)
	if err := os.WriteFile(n.config, []byte(changed), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// secureFront stands before the simulated GitLab, with a certificate of an authority of
// its own, and lets only those in who show a client certificate of that authority.
func (n *town) secureFront() string {
	ca, caKey, caPEM := certificate(n.t, nil, nil)
	server, serverKey, _ := certificate(n.t, ca, caKey)
	_, clientKey, clientPEM := certificate(n.t, ca, caKey)
	keyDER, err := x509.MarshalECPrivateKey(clientKey)
	if err != nil {
		n.t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"ca.pem": caPEM, "client.pem": clientPEM, "client.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), text, 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(ca)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted,
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	behind, err := url.Parse(n.gitlab)
	if err != nil {
		n.t.Fatal(err)
	}
	front := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(behind)
		}},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = front.Serve(listener)
	}()
	n.t.Cleanup(func() {
		_ = front.Close()
		<-done
	})
	return "https://" + listener.Addr().String()
}

// certificate makes one for loopback, signed by the given authority or, without one, an
// authority.
func certificate(t *testing.T, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if by == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		by, byKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
