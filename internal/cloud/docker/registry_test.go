// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// registry is a registry of one image of one layer, as far as an engine that pulls asks it.
type registry struct {
	address string
	blobs   map[string][]byte // by digest
	kinds   map[string]string
	tag     string // the manifest's digest

	mu       sync.Mutex
	password string          // of the user "puller"; "" = for everybody
	held     <-chan struct{} // the layer's last part is not sent before it is closed
}

const manifestKind = "application/vnd.docker.distribution.manifest.v2+json"

// newRegistry serves on the engine's own loopback, which engines trust without TLS. The
// image is NAME/runner:1; its layer has so many bytes of what can't be compressed.
func (e box) newRegistry(t *testing.T, size int) *registry {
	t.Helper()
	l := e.ListenOn(t, "127.0.0.1:0")
	r := &registry{address: l.Addr().String(), blobs: map[string][]byte{}, kinds: map[string]string{}}
	layer := layerOf(t, size)
	diff := r.add(layer, "application/vnd.docker.image.rootfs.diff.tar")
	config := r.json(t, "application/vnd.docker.container.image.v1+json", map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{diff}},
	})
	r.tag = r.json(t, manifestKind, map[string]any{
		"schemaVersion": 2, "mediaType": manifestKind, "config": r.descriptor(config), "layers": []any{r.descriptor(diff)},
	})
	server := &http.Server{Handler: r}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return r
}

func layerOf(t *testing.T, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (r *registry) add(blob []byte, kind string) string {
	sum := sha256.Sum256(blob)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	r.blobs[digest], r.kinds[digest] = blob, kind
	return digest
}

func (r *registry) json(t *testing.T, kind string, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return r.add(text, kind)
}

func (r *registry) descriptor(digest string) map[string]any {
	return map[string]any{"mediaType": r.kinds[digest], "digest": digest, "size": len(r.blobs[digest])}
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	password, held := r.password, r.held
	r.mu.Unlock()
	if _, given, _ := q.BasicAuth(); given != password {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	_, digest, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/runner/")
	_, digest, _ = strings.Cut(digest, "/")
	if digest == "1" {
		digest = r.tag
	}
	blob, ok := r.blobs[digest]
	switch {
	case q.URL.Path == "/v2/":
		return
	case !ok:
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", r.kinds[digest])
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
	if q.Method == http.MethodHead {
		return
	}
	if held != nil && len(blob) > 1<<20 {
		dribble(w, q, blob, held)
		return
	}
	_, _ = w.Write(blob)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// dribble sends little by little until it may send the rest.
func dribble(w http.ResponseWriter, q *http.Request, blob []byte, held <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	const part = 32 << 10
	for len(blob) > part {
		select {
		case <-held:
			_, _ = w.Write(blob)
			return
		case <-q.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write(blob[:part])
			blob = blob[part:]
			w.(http.Flusher).Flush()
		}
	}
}
