// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/tls"
	"crypto/x509"
)

// tlsFiles checks the files by which a coordinator is trusted, and shown who asks: the
// service would not start without them.
func (r *reader) tlsFiles(rc Runner) {
	if ca, ok := r.contents("tls-ca-file", rc.TLSCAFile); ok && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		r.absent("tls-ca-file", "%s holds no certificate (PEM)", rc.TLSCAFile)
	}
	if (rc.TLSCertFile == "") != (rc.TLSKeyFile == "") {
		r.bad("tls-cert-file", "tls-cert-file and tls-key-file go together; one is missing")
	}
	cert, haveCert := r.contents("tls-cert-file", rc.TLSCertFile)
	key, haveKey := r.contents("tls-key-file", rc.TLSKeyFile)
	if !haveCert || !haveKey {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.absent("tls-cert-file", "%s and %s are no certificate and its key (PEM): %v", rc.TLSCertFile, rc.TLSKeyFile, err)
	}
}

// contents reads a file that a key names; nothing is wrong when none is named.
func (r *reader) contents(name, path string) ([]byte, bool) {
	if path == "" || r.file.deps.load == nil {
		return nil, false
	}
	text, _, err := r.file.deps.load(path)
	if err != nil {
		r.absent(name, "%v", err)
	}
	return []byte(text), err == nil
}
