// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// The coordinator's CA and the client certificate that the manager gave along are
// used, and without them the coordinator is not trusted.
func TestTheManagersCertificatesAreUsed(t *testing.T) {
	var presented int
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		presented = len(r.TLS.PeerCertificates)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()

	dir := t.TempDir()
	pair := server.TLS.Certificates[0] // any certificate will do as the client's
	keyDER, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":  {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
		"key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	get := func(s *settings) error {
		transport, err := newTransport(s)
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequest("GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(request)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := get(&settings{dir: dir, CAFile: "ca.pem", ClientCertFile: "ca.pem", ClientKeyFile: "key.pem"}); err != nil || presented != 1 {
		t.Errorf("%v, %d client certificates", err, presented)
	}
	if err := get(&settings{dir: dir, CAFile: "ca.pem"}); err != nil || presented != 0 {
		t.Errorf("%v, %d client certificates, want none", err, presented)
	}
	if err := get(&settings{dir: dir}); err == nil {
		t.Error("a coordinator with an unknown CA was trusted")
	}
	for _, bad := range []*settings{
		{dir: dir, CAFile: "missing.pem"}, {dir: dir, CAFile: "key.pem"}, {dir: dir, ClientCertFile: "ca.pem", ClientKeyFile: "ca.pem"},
	} {
		if _, err := newTransport(bad); err == nil {
			t.Errorf("%+v: want an error", bad)
		}
	}
}
