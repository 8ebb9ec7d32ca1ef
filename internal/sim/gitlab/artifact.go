// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
)

// artifact is one uploaded file.
type artifact struct {
	filename string
	data     []byte
}

// archive is the type of the artifact that dependent jobs get.
const archive = "archive"

// uploadArtifact is POST /jobs/:id/artifacts. The body is read as it comes: runners send
// it chunked, of unknown length.
func (s *Server) uploadArtifact(w http.ResponseWriter, r *http.Request) {
	welcome := reply{status: http.StatusOK}
	if early := s.asJob(r, "", func(*job) reply { return welcome }); early.status != http.StatusOK {
		early.write(w)
		return
	}
	got, err := readFile(r, s.config.MaxArtifact)
	switch {
	case errors.Is(err, errTooLarge):
		message(http.StatusRequestEntityTooLarge, "413 Request Entity Too Large").write(w)
		return
	case err != nil:
		message(http.StatusBadRequest, "400 Bad request - Missing artifacts file!").write(w)
		return
	}
	kind := cmp.Or(r.URL.Query().Get("artifact_type"), archive)
	s.asJob(r, "", func(j *job) reply {
		if old, ok := j.artifacts[kind]; ok && sha256.Sum256(old.data) != sha256.Sum256(got.data) {
			return message(http.StatusBadRequest, "400 Bad request - another artifact of the same type already exists")
		}
		j.artifacts[kind] = got
		return message(http.StatusCreated, "201 Created")
	}).write(w)
}

var errTooLarge = errors.New("the artifact is too large")

// readFile reads the part of a form that is called file.
func readFile(r *http.Request, limit int64) (artifact, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return artifact{}, fmt.Errorf("read the form: %w", err)
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return artifact{}, fmt.Errorf("find the file in the form: %w", err)
		}
		if part.FormName() == "file" {
			return readPart(part, limit)
		}
	}
}

func readPart(part *multipart.Part, limit int64) (artifact, error) {
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(part, limit+1))
	if err != nil {
		return artifact{}, fmt.Errorf("read the file: %w", err)
	}
	if n > limit {
		return artifact{}, errTooLarge
	}
	return artifact{part.FileName(), data.Bytes()}, nil
}

// downloadArtifact is GET /jobs/:id/artifacts, for the job itself and for those that
// list it as dependency, while they run.
func (s *Server) downloadArtifact(w http.ResponseWriter, r *http.Request) {
	token := cmp.Or(r.Header.Get("Job-Token"), r.URL.Query().Get("job_token"), r.URL.Query().Get("token"))
	s.mu.Lock()
	asking, known := s.tokens[token]
	j, found := s.find(pathID(r))
	var answer reply
	var got artifact
	switch {
	case !known || !asking.processing():
		answer = unauthorized()
	case !found:
		answer = notFound("")
	case asking != j && !slices.Contains(asking.spec.Dependencies, j.id):
		answer = forbidden()
	default:
		var ok bool
		if got, ok = j.artifacts[archive]; !ok {
			answer = notFound("")
		}
	}
	s.mu.Unlock()
	if answer.status != 0 {
		answer.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.ReplaceAll(got.filename, `"`, "")))
	_, _ = w.Write(got.data) // the client may be gone
}
