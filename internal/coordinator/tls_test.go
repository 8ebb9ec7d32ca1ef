// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/coordinator"
)

// serveTLS starts a server that answers 204 and gives its URL and a file with its CA.
func serveTLS(t *testing.T, config *tls.Config) (url, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, ca, "CERTIFICATE", s.Certificate().Raw)
	return s.URL, ca
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clientPair writes a self-signed client certificate and its key.
func clientPair(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "runner"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, key, "PRIVATE KEY", raw)
	return cert, key, pool
}

// ask makes one job request with a configuration.
func ask(t *testing.T, cfg coordinator.Config) error {
	t.Helper()
	c, err := coordinator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Request(t.Context(), coordinator.RunnerCall{Token: runnerToken})
	return err
}

func TestTLS(t *testing.T) {
	t.Parallel()
	url, ca := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS12})
	if err := ask(t, coordinator.Config{URL: url, CAFile: ca}); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	err := ask(t, coordinator.Config{URL: url})
	if got := verdict(err); got != "transient" || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its CA: got %s (%v)", got, err)
	}
	err = ask(t, coordinator.Config{URL: strings.Replace(url, "https", "http", 1)})
	if got := verdict(err); got != "permanent" {
		t.Errorf("http to an https port: got %s (%v)", got, err)
	}
	plain := serveOnce(t, func(http.ResponseWriter, *http.Request) {})
	err = ask(t, coordinator.Config{URL: strings.Replace(plain, "http", "https", 1)})
	if got := verdict(err); got != "transient" {
		t.Errorf("https to an http port: got %s (%v): nothing was sent", got, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	url, ca := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // it is what must not work
	if err := ask(t, coordinator.Config{URL: url, CAFile: ca}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	cert, key, pool := clientPair(t)
	url, ca := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	if err := ask(t, coordinator.Config{URL: url, CAFile: ca, CertFile: cert, KeyFile: key}); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
	if err := ask(t, coordinator.Config{URL: url, CAFile: ca}); err == nil {
		t.Error("the server lets in who has no certificate: nothing was tested")
	}
}

func TestTLSFilesThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	cert, key, _ := clientPair(t)
	for name, cfg := range map[string]coordinator.Config{
		"no CA file":       {CAFile: "/nonexistent/ca.pem"},
		"CA file is a key": {CAFile: key},
		"no key":           {CertFile: cert},
		"no certificate":   {KeyFile: key},
		"swapped":          {CertFile: key, KeyFile: cert},
	} {
		cfg.URL = "https://gitlab.example"
		if _, err := coordinator.New(cfg); err == nil || !strings.Contains(err.Error(), "coordinator https://gitlab.example") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
