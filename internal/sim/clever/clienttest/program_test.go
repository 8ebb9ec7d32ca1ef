// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// program builds the real program and starts its simulator over https. It gives the
// address and a file with the certificate that it prints.
func program(t *testing.T) (url, cert string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "heptapod-paas-runner")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "heptapod-paas-runner/cmd/heptapod-paas-runner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "sim", "clever", "--listen", "127.0.0.1:0", "--tls", "--task-state", "wip") // ended below
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(first), "listening on ")
	if err != nil || !ok || !strings.HasPrefix(url, "https://") {
		t.Fatalf("the simulator said %q, %v", first, err)
	}
	var text strings.Builder
	for !strings.Contains(text.String(), "-----END CERTIFICATE-----") {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("no certificate after the first line: %q, %v", text.String(), err)
		}
		text.WriteString(line)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // so that it is never kept waiting
	cert = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return url, cert
}
