// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	maxPush     = 512 << 20
	gitAgent    = "agent=git/sim"
	receiveCaps = "report-status delete-refs side-band-64k ofs-delta " + gitAgent
	uploadCaps  = "side-band-64k ofs-delta no-progress " + gitAgent
	services    = "git-upload-pack git-receive-pack"
)

// gitApp finds the application of a git request and who makes it. It
// answers the request itself when there is nothing to go on with.
func (s *Server) gitApp(w http.ResponseWriter, r *http.Request) (*application, *identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.byGit(r)
	if who == nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="Git"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return nil, nil
	}
	id, isRepo := strings.CutSuffix(r.PathValue("repo"), ".git")
	a := s.byID[id]
	switch {
	case !isRepo || a == nil || !s.repoReady(a, now()):
		http.Error(w, "repository not found", http.StatusNotFound)
	case !who.actsFor(a.org) || !who.service.pushes(a.id):
		http.Error(w, "access denied", http.StatusForbidden)
	default:
		return a, who
	}
	return nil, nil
}

// gitRefs answers the first request of a fetch or push: the references.
func (s *Server) gitRefs(w http.ResponseWriter, r *http.Request) {
	a, _ := s.gitApp(w, r)
	if a == nil {
		return
	}
	service := r.URL.Query().Get("service")
	if service == "" || !slices.Contains(strings.Fields(services), service) {
		http.Error(w, "only smart HTTP is served", http.StatusForbidden)
		return
	}
	a.repo.mu.Lock()
	refs, err := a.repo.refs()
	a.repo.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var body bytes.Buffer
	p := &pktWriter{w: &body}
	p.line("# service=%s\n", service)
	p.flush()
	advertise(p, refs, service == "git-upload-pack")
	gitHeader(w, "application/x-"+service+"-advertisement")
	_, _ = w.Write(body.Bytes()) // a client that went away is not our trouble
}

// advertise lists the references; the first line carries the capabilities.
func advertise(p *pktWriter, refs map[plumbing.ReferenceName]plumbing.Hash, upload bool) {
	caps := receiveCaps
	if upload {
		caps = uploadCaps
	}
	names := slices.Sorted(maps.Keys(refs))
	names = slices.DeleteFunc(names, func(n plumbing.ReferenceName) bool { return n == plumbing.HEAD })
	type entry struct{ hash, name string }
	var list []entry
	if master, ok := refs[deployedRef]; ok && upload {
		list = append(list, entry{master.String(), "HEAD"})
		caps += " symref=HEAD:" + string(deployedRef)
	}
	for _, n := range names {
		list = append(list, entry{refs[n].String(), string(n)})
	}
	if len(list) == 0 {
		list = append(list, entry{plumbing.ZeroHash.String(), "capabilities^{}"})
	}
	for i, e := range list {
		if i == 0 {
			p.line("%s %s\x00%s\n", e.hash, e.name, caps)
			continue
		}
		p.line("%s %s\n", e.hash, e.name)
	}
	p.flush()
}

func gitHeader(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
}

// gitBody gives the request's body as it was before any compression.
func gitBody(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	body := http.MaxBytesReader(w, r.Body, maxPush)
	if r.Header.Get("Content-Encoding") != "gzip" {
		return body, nil
	}
	unzipped, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	return io.LimitReader(unzipped, maxPush), nil
}
