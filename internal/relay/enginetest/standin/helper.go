// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// transfer says what to carry and where.
type transfer struct {
	url, token, id, dir, name, kind string
	paths                           []string
}

const carryTries = 3

// carry is a command of the helper's: it dials the runner's url itself.
func carry(ctx context.Context, verb string, args []string, log io.Writer) error {
	var t transfer
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.StringVar(&t.url, "url", "", "")
	f.StringVar(&t.token, "token", "", "")
	f.StringVar(&t.id, "id", "", "")
	f.StringVar(&t.dir, "dir", ".", "")
	f.StringVar(&t.name, "name", "", "")
	f.StringVar(&t.kind, "artifact-type", "archive", "")
	f.Func("path", "", func(p string) error { t.paths = append(t.paths, p); return nil })
	if err := f.Parse(args); err != nil {
		return err
	}
	work := t.download
	if verb == "artifacts-uploader" {
		work = t.upload
	}
	var err error
	for range carryTries {
		var status int
		if status, err = work(ctx); err == nil {
			fmt.Fprintf(log, "%s: ok id=%s responseStatus=%d\n", verb, t.id, status)
			return nil
		}
		fmt.Fprintf(log, "%s: %v id=%s responseStatus=%d\n", verb, err, t.id, status)
		if status >= 400 && status < 500 {
			return err
		}
		sleep(ctx, time.Second)
	}
	return err
}

func (t transfer) call(ctx context.Context, method, query, kind string, body io.Reader) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	address := strings.TrimRight(t.url, "/") + "/api/v4/jobs/" + t.id + "/artifacts?" + query
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Job-Token", t.token)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := (&http.Client{}).Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = errors.New(answer.Status)
	}
	return answer.StatusCode, text, err
}

func (t transfer) download(ctx context.Context) (int, error) {
	status, text, err := t.call(ctx, http.MethodGet, "direct_download=true", "", nil)
	if err != nil {
		return status, err
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return status, err
	}
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return status, err
	}
	return status, os.CopyFS(t.dir, archive)
}

// upload streams the archive: multipart, chunked, of no known length.
func (t transfer) upload(ctx context.Context) (int, error) {
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() {
		part, err := form.CreateFormFile("file", t.name+".zip")
		if err == nil {
			err = t.archive(part)
		}
		w.CloseWithError(errors.Join(err, form.Close()))
	}()
	defer body.Close()
	query := url.Values{"artifact_format": {"zip"}, "artifact_type": {t.kind}, "expire_in": {"1 week"}}
	status, _, err := t.call(ctx, http.MethodPost, query.Encode(), form.FormDataContentType(), body)
	return status, err
}

func (t transfer) archive(to io.Writer) error {
	z := zip.NewWriter(to)
	root := os.DirFS(t.dir)
	for _, pattern := range t.paths {
		found, err := fs.Glob(root, filepath.Clean(pattern))
		if err != nil {
			return err
		}
		for _, name := range found {
			data, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			file, err := z.Create(name)
			if err != nil {
				return err
			}
			if _, err := file.Write(data); err != nil {
				return err
			}
		}
	}
	return z.Close()
}
