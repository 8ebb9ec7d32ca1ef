// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// fetch is one round of what a client asks for.
type fetch struct {
	wants, haves []plumbing.Hash
	caps         map[string]bool
	done         bool
}

// readFetch reads a stateless round: wants, a flush, haves, and perhaps "done".
func readFetch(r io.Reader) (fetch, error) {
	f := fetch{caps: map[string]bool{}}
	for {
		line, err := readPkt(r)
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		hash, caps, _ := strings.Cut(rest, " ")
		switch verb {
		case "":
			continue
		case "done":
			f.done = true
			return f, nil
		case "want", "have":
			if !plumbing.IsHash(hash) {
				return f, fmt.Errorf("%w: %q", errPkt, line)
			}
		default:
			return f, fmt.Errorf("%w: %q is not served", errPkt, verb)
		}
		for c := range strings.FieldsSeq(caps) {
			f.caps[c] = true
		}
		if verb == "want" {
			f.wants = append(f.wants, plumbing.NewHash(hash))
		} else {
			f.haves = append(f.haves, plumbing.NewHash(hash))
		}
	}
}

// gitUploadPack serves a fetch or clone of what was pushed.
func (s *Server) gitUploadPack(w http.ResponseWriter, r *http.Request) {
	a, _ := s.gitApp(w, r)
	if a == nil {
		return
	}
	body, err := gitBody(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, err := readFetch(body)
	if err != nil || len(f.wants) == 0 {
		http.Error(w, fmt.Sprintf("unreadable request: %v", err), http.StatusBadRequest)
		return
	}
	gitHeader(w, "application/x-git-upload-pack-result")
	a.repo.mu.Lock()
	defer a.repo.mu.Unlock()
	out := &pktWriter{w: w}
	common := a.repo.common(f.haves)
	if common.IsZero() {
		out.line("NAK\n")
	} else {
		out.line("ACK %s\n", common)
	}
	if !f.done {
		return
	}
	if !a.repo.wanted(f.wants) {
		out.band(3, []byte("not our ref\n"))
		return
	}
	a.sendPack(out, f)
}

// sendPack writes the pack, in the side band when the client can.
func (a *application) sendPack(out *pktWriter, f fetch) {
	if !f.caps["side-band-64k"] {
		if err := a.repo.pack(out.w, f.wants, f.haves); err != nil {
			out.line("ERR %s\n", err)
		}
		return
	}
	if err := a.repo.pack(bandWriter{out, 1}, f.wants, f.haves); err != nil {
		out.band(3, []byte(err.Error()+"\n"))
		return
	}
	out.flush()
}

// common gives the last commit named by the client that we have too.
func (r *repository) common(haves []plumbing.Hash) plumbing.Hash {
	for _, have := range slices.Backward(haves) {
		if r.store.HasEncodedObject(have) == nil {
			return have
		}
	}
	return plumbing.ZeroHash
}

// wanted tells whether all wants are tips of references.
func (r *repository) wanted(wants []plumbing.Hash) bool {
	refs, err := r.refs()
	if err != nil {
		return false
	}
	tips := map[plumbing.Hash]bool{}
	for _, h := range refs {
		tips[h] = true
	}
	for _, h := range wants {
		if !tips[h] {
			return false
		}
	}
	return true
}
