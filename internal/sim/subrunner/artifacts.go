// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"
)

const (
	transferTries = 3
	transferPause = time.Second
	transferLimit = time.Hour
)

// download gets the artifacts of the jobs that this one depends on.
func (j *job) download(ctx context.Context) error {
	for _, d := range j.p.Dependencies {
		if d.ArtifactsFile.Filename == "" {
			continue
		}
		j.trace.printf("\x1b[32;1mDownloading artifacts for %s (%d)...\x1b[0;m\n", d.Name, d.ID)
		path := fmt.Sprintf("jobs/%d/artifacts?direct_download=true", d.ID)
		answer := j.transfer(ctx, func() reply {
			return j.c.do(ctx, http.MethodGet, path, http.Header{"Job-Token": {d.Token}}, nil)
		})
		if answer.status != http.StatusOK {
			j.trace.printf("\x1b[31;1mERROR: Downloading artifacts from coordinator... %s\x1b[0;m  id=%d\n", answer.describe(), d.ID)
			return fmt.Errorf("%w: download artifacts of %d: %s", errScript, d.ID, answer.describe())
		}
		if err := j.place.unpack(answer.body); err != nil {
			return fmt.Errorf("%w: artifacts of %d: %w", errScript, d.ID, err)
		}
		j.trace.printf("Downloading artifacts from coordinator... ok  id=%d responseStatus=%s\n", d.ID, answer.describe())
	}
	return nil
}

func (r reply) describe() string {
	if r.err != nil {
		return "no answer"
	}
	return fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
}

// transfer repeats what may work the next time.
func (j *job) transfer(ctx context.Context, call func() reply) reply {
	var answer reply
	for range transferTries {
		answer = call()
		if answer.status > 0 && answer.status < 500 || !sleep(ctx, transferPause) {
			return answer
		}
	}
	return answer
}

// upload sends the artifacts that the job's end asks for.
func (j *job) upload(ctx context.Context, failed error) error {
	stage, title, skip := "upload_artifacts_on_success", "Uploading artifacts for successful job", "on_failure"
	if failed != nil {
		stage, title, skip = "upload_artifacts_on_failure", "Uploading artifacts for failed job", "on_success"
	}
	var due []artifact
	for _, a := range j.p.Artifacts {
		if a.When != skip && (a.When != "" || failed == nil) {
			due = append(due, a)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return j.section(stage, title, func() error {
		j.trace.printf("\x1b[32;1mUploading artifacts...\x1b[0;m\n")
		for _, a := range due {
			if err := j.uploadOne(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *job) uploadOne(ctx context.Context, a artifact) error {
	archive, n, err := j.place.pack(a)
	if err != nil {
		return err
	}
	if n == 0 {
		j.trace.printf("\x1b[0;33mWARNING: %v: no matching files. Ensure that the artifact path is relative to the working directory\x1b[0;m\n", a.Paths)
		return nil
	}
	j.trace.printf("%v: found %d matching artifact files and directories\n", a.Paths, n)
	answer := j.transfer(ctx, func() reply { return j.send(ctx, a, archive) })
	j.trace.printf("Uploading artifacts as %q to coordinator... %s  id=%d\n", a.Type, answer.describe(), j.p.ID)
	if answer.status != http.StatusCreated {
		return fmt.Errorf("%w: upload artifacts: %s", errScript, answer.describe())
	}
	return nil
}

// filename is what the upload is called; the name of a report ends as it should already.
func (a artifact) filename() string {
	if a.Format == "zip" || a.Format == "" {
		return a.Name + ".zip"
	}
	return a.Name
}

// send streams one archive: multipart and chunked, as gitlab-runner does.
func (j *job) send(ctx context.Context, a artifact, archive []byte) reply {
	ctx, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() {
		part, err := form.CreateFormFile("file", a.filename())
		if err == nil {
			_, err = io.Copy(part, bytes.NewReader(archive))
		}
		if err == nil {
			err = form.Close()
		}
		w.CloseWithError(err)
	}()
	defer body.Close()
	query := url.Values{"artifact_format": {cmp.Or(a.Format, "zip")}, "artifact_type": {a.Type}}
	if a.ExpireIn != "" {
		query.Set("expire_in", a.ExpireIn)
	}
	address := fmt.Sprintf("%s/api/v4/jobs/%d/artifacts?%s", j.c.base, j.p.ID, query.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return reply{err: fmt.Errorf("upload artifacts: %w", err)}
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Job-Token", j.p.Token)
	req.Header.Set("User-Agent", userAgent())
	resp, err := j.c.http.Do(req)
	if err != nil {
		return reply{err: fmt.Errorf("upload artifacts: %w", err)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	return reply{status: resp.StatusCode}
}
