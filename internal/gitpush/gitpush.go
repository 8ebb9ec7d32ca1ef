// SPDX-License-Identifier: Apache-2.0

// Package gitpush puts files on a branch of a remote git repository as one commit,
// over smart HTTP and from memory, and reads such a commit back. It is no git
// client: no disk, no history, no merge, no credential helper. The one idea: a push
// only ever creates the branch, so that it happens at most once, and it counts only
// when the server says so in its report.
package gitpush

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Target is a repository and the right to use it. The credential is sent with the
// first request, to this URL only: redirects are not followed.
type Target struct {
	URL      string // http or https, without user, query and fragment
	User     string
	Password secret.String
	HTTP     *http.Client // its Transport, which must be set, and its Timeout are used
	Packs    *Cache       // keeps big executables compressed between pushes; nil = compress each time
}

// Push creates the branch with one commit of the files. Author and date are fixed, so
// the same files and message always give the same commit.
//
// fleet.ErrAlreadyStarted when the branch exists: nothing was pushed. Transient:
// nothing was done, the repository may not be ready (404). Permanent: refused.
// Unknown: the server may have taken it, ask Head.
func Push(ctx context.Context, target Target, branch string, files []fleet.File, message string) error {
	if err := push(ctx, target, branch, files, message); err != nil {
		return fmt.Errorf("push to branch %s of %s: %w", branch, target.name(), err)
	}
	return nil
}

func push(ctx context.Context, target Target, branch string, files []fleet.File, message string) error {
	ref, err := branchRef(branch)
	if err != nil {
		return permanent(err)
	}
	commit, err := buildCommit(files, message)
	if err != nil {
		return permanent(err)
	}
	return pushCommit(ctx, target, ref, commit)
}

func pushCommit(ctx context.Context, target Target, ref plumbing.ReferenceName, commit *commit) error {
	c, err := target.connect(transport.ReceivePackServiceName, reportLimit)
	if err != nil {
		return permanent(err)
	}
	session, err := c.transport().NewReceivePackSession(c.endpoint, c.auth)
	if err != nil {
		return permanent(err)
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return c.explain(ctx, err)
	}
	if _, exists := refs.References[ref.String()]; exists {
		return errExists()
	}
	if !refs.Capabilities.Supports(capability.ReportStatus) {
		return permanent(errors.New("the server can't report whether a push succeeded"))
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	request.Commands = []*packp.Command{{Name: ref, Old: plumbing.ZeroHash, New: commit.hash}}
	request.Packfile = writePack(commit.objects, target.Packs)
	report, err := session.ReceivePack(ctx, request)
	if report == nil {
		if err == nil {
			err = errors.New("the server answered without a report")
		}
		return c.explain(ctx, err)
	}
	return c.judge(ctx, target, ref, report)
}

// judge reads the report. Only "unpack ok" and exactly one "ok" for our branch is a
// push that succeeded.
func (c *connection) judge(ctx context.Context, target Target, ref plumbing.ReferenceName, report *packp.ReportStatus) error {
	if report.UnpackStatus != "ok" {
		return transient(fmt.Errorf("the server could not unpack it: %s", c.quote(report.UnpackStatus)))
	}
	if len(report.CommandStatuses) != 1 || report.CommandStatuses[0].ReferenceName != ref {
		return unknown(fmt.Errorf("the server's report is not about this push: %d results", len(report.CommandStatuses)))
	}
	status := report.CommandStatuses[0].Status
	if status == "ok" {
		return nil
	}
	// Refused. Was another push first?
	refused := fmt.Errorf("the server refused it: %s", c.quote(status))
	_, exists, err := head(ctx, target, ref)
	switch {
	case err != nil:
		return unknown(errors.Join(refused, err))
	case exists:
		return errExists()
	default:
		return permanent(refused)
	}
}

// Head gives the commit that the branch points to; false when the branch, or any
// commit, doesn't exist.
func Head(ctx context.Context, target Target, branch string) (string, bool, error) {
	hash, ok, err := readHead(ctx, target, branch)
	if err != nil {
		return "", false, fmt.Errorf("read branch %s of %s: %w", branch, target.name(), err)
	}
	if !ok {
		return "", false, nil
	}
	return hash.String(), true, nil
}

func readHead(ctx context.Context, target Target, branch string) (plumbing.Hash, bool, error) {
	ref, err := branchRef(branch)
	if err != nil {
		return plumbing.ZeroHash, false, permanent(err)
	}
	return head(ctx, target, ref)
}

func head(ctx context.Context, target Target, ref plumbing.ReferenceName) (plumbing.Hash, bool, error) {
	c, err := target.connect(transport.UploadPackServiceName, 0)
	if err != nil {
		return plumbing.ZeroHash, false, permanent(err)
	}
	session, err := c.transport().NewUploadPackSession(c.endpoint, c.auth)
	if err != nil {
		return plumbing.ZeroHash, false, permanent(err)
	}
	refs, err := c.advertised(ctx, session)
	if err != nil || refs == nil {
		return plumbing.ZeroHash, false, err
	}
	hash, ok := refs.References[ref.String()]
	return hash, ok, nil
}

// advertised reads the references of a repository, nil when it is empty.
func (c *connection) advertised(ctx context.Context, session transport.UploadPackSession) (*packp.AdvRefs, error) {
	refs, err := session.AdvertisedReferencesContext(ctx)
	switch {
	case c.guard.failure() == nil && errors.Is(err, transport.ErrEmptyRemoteRepository):
		return nil, nil
	case err != nil:
		return nil, c.explain(ctx, err)
	}
	return refs, nil
}

// connection is what the requests to one service of one target share.
type connection struct {
	endpoint *transport.Endpoint
	auth     transport.AuthMethod
	password string
	client   *http.Client
	guard    *guard
}

// connect prepares; nothing is sent yet. resultLimit bounds the answer to a POST.
func (t Target) connect(service string, resultLimit int64) (*connection, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, errors.New("the repository's URL can't be parsed") // url.Error would print it
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("the repository's URL must begin with http:// or https:// and a host")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the repository's URL must hold no user, query or fragment")
	}
	endpoint, err := transport.NewEndpoint(strings.TrimRight(t.URL, "/"))
	if err != nil {
		return nil, errors.New("the repository's URL can't be parsed")
	}
	if t.HTTP == nil || t.HTTP.Transport == nil {
		return nil, errors.New("no HTTP client with a transport was given")
	}
	c := &connection{endpoint: endpoint, password: t.Password.Reveal(), guard: newGuard(t.HTTP.Transport, service, resultLimit)}
	c.client = &http.Client{Transport: c.guard, Timeout: t.HTTP.Timeout}
	if t.User != "" || c.password != "" {
		c.auth = &githttp.BasicAuth{Username: t.User, Password: c.password}
	}
	return c, nil
}

func (c *connection) transport() transport.Transport {
	return githttp.NewClientWithOptions(c.client, &githttp.ClientOptions{RedirectPolicy: githttp.NoFollowRedirects})
}

// name is the target for error messages: never a user or password, should there be
// one where none belongs.
func (t Target) name() string {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" {
		return "a repository"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func branchRef(branch string) (plumbing.ReferenceName, error) {
	ref := plumbing.NewBranchReferenceName(branch)
	if err := ref.Validate(); err != nil {
		return "", fmt.Errorf("branch %q: %w", branch, err)
	}
	return ref, nil
}
