// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"bytes"
	"fmt"
)

// relayPath is where the relay lies on the instance.
const relayPath = "/usr/local/bin/" + RelayBinary

// dockerfile writes the Dockerfile. Only the two image references vary, and they
// have passed CheckImage. Setting ENTRYPOINT clears the CMD of the base image.
func dockerfile(h Host) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "FROM %s\n", h.MainImage)
	fmt.Fprintf(&b, "COPY %s %s", RunnerFile, JobFile)
	if h.Mode == ModeRelay {
		fmt.Fprintf(&b, " %s", RelayFile)
	}
	for _, f := range h.tlsFiles() {
		fmt.Fprintf(&b, " %s", f.name)
	}
	fmt.Fprintf(&b, " %s\n", Folder)
	switch {
	case h.Mode == ModeExecFetchedJob:
		fmt.Fprintf(&b, "ENTRYPOINT [%q, %q, %q, %q, %q]\n", "/usr/bin/gitlab-runner", "exec-fetched-job",
			"--config", Folder+RunnerFile, Folder+JobFile)
		return b.Bytes()
	case h.RelayImage != "":
		fmt.Fprintf(&b, "COPY --from=%s /%s %s\n", h.RelayImage, RelayBinary, relayPath)
	default:
		fmt.Fprintf(&b, "COPY %s %s\n", RelayBinary, relayPath)
	}
	fmt.Fprintf(&b, "ENTRYPOINT [%q, %q]\n", relayPath, Folder+RelayFile)
	return b.Bytes()
}
