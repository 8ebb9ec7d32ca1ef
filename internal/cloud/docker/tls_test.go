// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/cloud/docker"
	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/tlstest"
)

// folder has ca.pem of one authority, and cert.pem and key.pem signed by another.
func folder(t *testing.T, trusted, by tlstest.Authority, uses x509.ExtKeyUsage) string {
	t.Helper()
	dir, key := t.TempDir(), tlstest.NewKey(t)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "somebody"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{uses}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: trusted.Cert.Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: by.Sign(t, cert, key)},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// port is one of this computer that leads to an engine.
func port(t *testing.T, dial func(context.Context) (net.Conn, error)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			there, err := dial(context.Background())
			if err != nil {
				conn.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{conn, there}, {there, conn}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					way[0].Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}

// An engine over TLS is reached with the right certificates, and one error says what is
// wrong with others.
func TestEngineOverTLS(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ours, others := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	server := folder(t, ours, ours, x509.ExtKeyUsageServerAuth)
	e := engine.Start(t, engine.Options{Flags: []string{
		"--host", "tcp://127.0.0.1:2376", "--tlsverify", "--tlscacert", filepath.Join(server, "ca.pem"),
		"--tlscert", filepath.Join(server, "cert.pem"), "--tlskey", filepath.Join(server, "key.pem"),
	}})
	secured := port(t, func(ctx context.Context) (net.Conn, error) { return e.Dial(ctx, "tcp", "127.0.0.1:2376") })
	plain := port(t, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
	})
	client := func(trusted, by tlstest.Authority) string { return folder(t, trusted, by, x509.ExtKeyUsageClientAuth) }
	good := client(ours, ours)
	byEnvironment := map[string]string{"DOCKER_HOST": "tcp://" + secured, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": good}
	none := map[string]string{}
	_, name, _ := strings.Cut(secured, ":")
	for what, c := range map[string]struct {
		host, folder string
		env          map[string]string
		is           error
		says         string // "" = it is well
	}{
		"well":                      {"tcp://" + secured, good, none, nil, ""},
		"by the environment":        {"", "", byEnvironment, nil, ""},
		"host before DOCKER_HOST":   {"unix://" + e.Socket, "", byEnvironment, nil, ""},
		"without TLS":               {"tcp://" + plain, "", none, nil, ""},
		"another authority":         {"tcp://" + secured, client(others, ours), none, fleet.ErrUnauthorized, "certificate is not trusted"},
		"another name":              {"tcp://localhost:" + name, good, none, fleet.ErrUnauthorized, "certificate is not trusted"},
		"another's certificate":     {"tcp://" + secured, client(ours, others), none, fleet.ErrUnauthorized, "refuses the client's certificate"},
		"no TLS where TLS is asked": {"tcp://" + secured, "", none, nil, "Client sent an HTTP request to an HTTPS server"},
		"TLS where none is":         {"tcp://" + plain, good, none, fleet.ErrUnauthorized, "does not speak TLS there"},
		"nobody":                    {"tcp://127.0.0.1:1", good, none, fleet.ErrUnreachable, "can't be reached"},
		"no socket":                 {"unix:///nowhere/docker.sock", "", none, fleet.ErrUnreachable, "can't be reached"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, err := docker.New(docker.Config{Host: c.host, CertPath: c.folder, Image: "x"}, docker.Deps{Getenv: func(name string) string { return c.env[name] }})
			if err != nil {
				t.Fatal(err)
			}
			err = p.Check(t.Context(), cloud.Tenant{})
			if (err == nil) != (c.says == "") || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("%v", err)
			}
			if text := fleet.UserTextOf(err); !strings.Contains(text, c.says) {
				t.Errorf("the user reads %q, want %q: %v", text, c.says, err)
			}
		})
	}
}

// What can't be used is refused before anybody is asked.
func TestConnectionIsRefused(t *testing.T) {
	t.Parallel()
	a, b := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	broken := func(name, text string) string {
		dir := folder(t, a, b, x509.ExtKeyUsageClientAuth)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	const host = "tcp://127.0.0.1:1"
	for what, c := range map[string]struct{ host, folder, says string }{
		"no folder":       {host, "/nowhere", "read the engine's authority: open /nowhere/ca.pem: no such file"},
		"no authority":    {host, broken("ca.pem", "hello"), "ca.pem holds no certificate"},
		"no certificate":  {host, broken("cert.pem", "hello"), "read the client's certificate"},
		"no key":          {host, broken("key.pem", "hello"), "read the client's certificate"},
		"scheme":          {"ssh://there", "", `scheme "ssh": want unix or tcp`},
		"password":        {"tcp://user:CANARY@there:1", "", `host "tcp://…@there:1": want unix:///PATH or tcp://HOST:PORT`},
		"no scheme, user": {"CANARY@there", "", `host "…@there": want`},
		"control":         {"tcp://there:1\x1b[31m", "", `host "tcp://there:1\x1b[31m": want`},
		"no scheme":       {"there:2376", "", "there:2376"},
	} {
		_, err := docker.New(docker.Config{Host: c.host, CertPath: c.folder, Image: "x"}, docker.Deps{Getenv: func(string) string { return "" }})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
	}
}
