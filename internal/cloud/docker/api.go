// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"heptapod-paas-runner/internal/fleet"
)

// usualSocket is where an engine listens on its own computer.
const usualSocket = "/var/run/docker.sock"

// connect makes the client. transport takes the place of one to the host.
func (p *Provisioner) connect(transport http.RoundTripper) error {
	if strings.Contains(p.host, "@") || strings.ContainsFunc(p.host, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }) {
		return errors.New("want unix:///PATH or tcp://HOST:PORT, without a user, white space or control characters") // it is shown
	}
	address, err := client.ParseHostURL(p.host)
	if err != nil {
		return err
	}
	scheme := "http"
	p.socket = usualSocket
	own := &http.Transport{
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxHeaders,
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	switch address.Scheme {
	case "unix":
		path := address.Host
		p.socket = path
		own.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	case "tcp":
		own.DialContext = dialer.DialContext
		if own.TLSClientConfig, err = p.tls(); err != nil {
			return err
		}
		if own.TLSClientConfig != nil {
			scheme = "https"
		}
	default:
		return fmt.Errorf("scheme %q: want unix or tcp", address.Scheme)
	}
	if transport == nil {
		transport = own
	}
	// Followed, a redirect would carry the registry's credential and our certificate elsewhere.
	asks := &http.Client{Transport: bounded{transport}, CheckRedirect: client.CheckRedirect}
	p.docker, err = client.New(client.WithHost(p.host), client.WithHTTPClient(asks), client.WithScheme(scheme), client.WithUserAgent("heptapod-paas-runner"))
	return err
}

// tls reads the client's certificate; nil when the engine is to be asked without TLS.
// The engine's own certificate is always verified: who may ask it owns its computer.
func (p *Provisioner) tls() (*tls.Config, error) {
	folder := p.cfg.CertPath
	if folder == "" && p.getenv("DOCKER_TLS_VERIFY") != "" {
		folder = p.getenv("DOCKER_CERT_PATH")
		if folder == "" {
			folder = filepath.Join(p.getenv("HOME"), ".docker")
		}
	}
	if folder == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("read the engine's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(folder, "ca.pem"))
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return nil, fmt.Errorf("read the client's certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}}, nil
}

// call makes one call with its own time limit, and classifies its error.
func (p *Provisioner) call(ctx context.Context, what string, f func(context.Context) error) error {
	return p.callFor(ctx, p.cfg.CallTimeout, what, f)
}

func (p *Provisioner) callFor(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(limited, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	err := f(traced)
	if err == nil {
		return nil
	}
	if limited.Err() != nil {
		err = errors.Join(err, limited.Err())
	}
	return p.classify(what, err, connected.Load())
}

// classify reads what an error means for what was asked. An engine that was never
// connected to has done nothing.
func (p *Provisioner) classify(what string, err error, connected bool) error {
	out := &fleet.CallError{Class: fleet.Unknown, Err: fmt.Errorf("%s: %w", what, err)}
	mark := func(class fleet.Class, sentinel error, text string) {
		out.Class, out.UserText = class, text
		if sentinel != nil {
			out.Err = fmt.Errorf("%s: %w: %w", what, sentinel, err)
		}
	}
	handshake := untrusted(err)
	switch {
	case fleet.IsCut(err):
		mark(fleet.Unknown, nil, "the Docker Engine does not answer in time")
	case handshake != "":
		mark(fleet.Permanent, fleet.ErrUnauthorized, handshake)
	case !connected:
		mark(fleet.Transient, fleet.ErrUnreachable, "the Docker Engine can't be reached")
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		mark(fleet.Permanent, fleet.ErrUnauthorized, "the Docker Engine refuses the credential")
	case errdefs.IsNotFound(err):
		mark(fleet.Permanent, fleet.ErrNotFound, "")
	case errdefs.IsConflict(err), errdefs.IsInvalidArgument(err):
		mark(fleet.Permanent, nil, "the Docker Engine refuses: "+sentence(err))
	case errdefs.IsResourceExhausted(err):
		mark(fleet.Transient, nil, "the Docker Engine is busy")
	case errors.Is(err, syscall.ECONNRESET):
		mark(fleet.Unknown, nil, "the Docker Engine cut the connection")
	}
	return out
}

// untrusted tells in which way a handshake with the engine failed; "" when none did. What an
// engine says about the certificates of others, such as registries, is not meant.
func untrusted(err error) string {
	if _, theirs := errors.AsType[*tls.CertificateVerificationError](err); theirs {
		return "the Docker Engine's certificate is not trusted"
	}
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		return "the Docker Engine refuses the client's certificate"
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain || errors.Is(err, http.ErrSchemeMismatch) {
		return "the Docker Engine does not speak TLS there"
	}
	return ""
}

// longest is how much of the engine's own words a user is shown.
const longest = 300

// sentence is what the engine said, on one line, without what the client put before it.
func sentence(err error) string {
	text := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
