// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/BurntSushi/toml"
)

// section is one [[runners]] of a config.toml, as far as it is used here. What
// else stands there is accepted, as gitlab-runner does.
type section struct {
	Name        string   `toml:"name"`
	URL         string   `toml:"url"`
	Token       string   `toml:"token"`
	Executor    string   `toml:"executor"`
	OutputLimit int      `toml:"output_limit"` // KiB
	BuildsDir   string   `toml:"builds_dir"`
	Environment []string `toml:"environment"`
	CAFile      string   `toml:"tls-ca-file"`
	CertFile    string   `toml:"tls-cert-file"`
	KeyFile     string   `toml:"tls-key-file"`
}

const defaultOutputLimit = 4096

// readSection takes the runner of that name out of a file; "" is the only one.
func readSection(file, name string) (section, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return section{}, fmt.Errorf("read the configuration: %w", err)
	}
	var config struct {
		Runners []section `toml:"runners"`
	}
	if err := toml.Unmarshal(raw, &config); err != nil {
		return section{}, fmt.Errorf("read %s: %w", file, err)
	}
	for _, s := range config.Runners {
		if s.Name == name || name == "" && len(config.Runners) == 1 {
			return s, nil
		}
	}
	return section{}, fmt.Errorf("read %s: could not find a runner with the name %q", file, name)
}

// complete checks what a runner cannot do without.
func (s *section) complete() error {
	s.URL = strings.TrimSuffix(strings.TrimRight(s.URL, "/"), "/ci")
	if s.OutputLimit <= 0 {
		s.OutputLimit = defaultOutputLimit
	}
	switch {
	case s.URL == "":
		return errors.New("missing URL")
	case s.Token == "":
		return errors.New("missing token")
	case s.Executor == "":
		return errors.New("missing executor")
	}
	return nil
}

// shortToken is the part of the token that is shown.
func (s *section) shortToken() string {
	token := s.Token
	for _, prefix := range []string{"glrt-", "GR1348941", "glrtr-", "t1_", "t2_", "t3_"} {
		token = strings.TrimPrefix(token, prefix)
	}
	return token[:min(len(token), 9)]
}

// transport makes the connection that the TLS keys ask for.
func (s *section) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authority: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(pem)
		t.TLSClientConfig.RootCAs = pool
	}
	if s.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
