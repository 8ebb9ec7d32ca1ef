// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate and its key into a folder.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	put(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The service would not start with TLS files that are not there or are something else.
func TestTLSFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir, "one")
	certificate(t, dir, "two")
	put(t, filepath.Join(dir, "text"), "CANARY")
	for lines, want := range map[string]string{
		`tls-ca-file = "one.pem"`:                                 "",
		"tls-cert-file = \"one.pem\"\ntls-key-file = \"one.key\"": "",
		`tls-ca-file = "none"`:                                    ":13: tls-ca-file: open DIR/none: no such file or directory",
		`tls-ca-file = "."`:                                       ":13: tls-ca-file: DIR is a folder",
		`tls-ca-file = "text"`:                                    ":13: tls-ca-file: DIR/text holds no certificate (PEM)",
		"tls-key-file = \"none\"\ntls-cert-file = \"one.pem\"":    ":13: tls-key-file: open DIR/none: no such file or directory",
		"tls-cert-file = \"text\"\ntls-key-file = \"one.key\"":    ":13: tls-cert-file: DIR/text and DIR/one.key are no certificate and its key (PEM): ",
		"tls-cert-file = \"one.pem\"\ntls-key-file = \"two.key\"": ":13: tls-cert-file: DIR/one.pem and DIR/two.key are no certificate and its key (PEM): ",
	} {
		file := filepath.Join(dir, "f.toml")
		put(t, file, above(lines))
		_, err := Load(file)
		if want == "" && err == nil {
			continue
		}
		if want = file + strings.ReplaceAll(want, "DIR", dir); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %s", lines, err, want)
		}
	}
}
