// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"fmt"
	"runtime"
	"testing"

	"heptapod-paas-runner/internal/sim/clever"
)

// Many applications are given the same large program: it is kept once, and not at
// all when they are gone.
func TestLargeFilesAreKeptOnce(t *testing.T) {
	const size, many = 1 << 20, 8
	a := api{t: t, s: clever.New(clever.Config{}), token: clever.FirstToken}
	files := given()
	big := make([]byte, size)
	for i := range big {
		big[i] = byte(i * i >> 3)
	}
	files["paas-relay"] = string(big)
	before := heap()
	var ids []string
	for i := range many {
		app := a.create(fmt.Sprintf("app-%d", i))
		files["job.json"] = fmt.Sprintf(`{"id":%d}`, i)
		pushOK(t, a.s, app.ID, files)
		ids = append(ids, app.ID)
	}
	if grown := heap() - before; grown > 4*size {
		t.Errorf("%d applications hold %d MiB", many, grown>>20)
	}
	for _, id := range ids {
		a.get("DELETE", apps+"/"+id, "", nil)
	}
	if grown := heap() - before; grown > size/2 {
		t.Errorf("after their deletion %d KiB are still held", grown>>10)
	}
	if got := a.s.Applications()[7].Files["job.json"]; got != `{"id":7}` {
		t.Errorf("job.json is shown as %v", got)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
