// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"testing"

	"heptapod-paas-runner/internal/coordinator"
)

// The id of the top-level group is taken where it is one; nothing odd in its place costs
// the job.
func TestNamespaceID(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int64{
		`17`: 17, `0`: 0, `null`: 0, `"17"`: 0, `-3`: 0, `1.5`: 0, `1e3`: 0, `{"id":3}`: 0, `[]`: 0, `99999999999999999999`: 0,
	} {
		p, err := coordinator.ParsePayload([]byte(`{"id":1,"token":"t","job_info":{"project_full_path":"a/b","root_namespace_id":` + value + `}}`))
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if p.NamespaceID != want {
			t.Errorf("%s is read as %d, want %d", value, p.NamespaceID, want)
		}
	}
}
