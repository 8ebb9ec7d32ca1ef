// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// finalInterval is how often a sub-runner comes back with its final update, in
// seconds, while the relay waits for the coordinator.
const finalInterval = "10"

// update is the body of a PUT, as far as the relay reads it.
type update struct {
	Token string `json:"token"`
	finalWord
	Output struct {
		Bytesize *int64 `json:"bytesize"`
	} `json:"output"`

	body   []byte
	header http.Header
}

// finalUpdate is the sub-runner's last update.
type finalUpdate = update

func parseUpdate(body []byte) (*update, error) {
	u := update{body: body}
	if err := json.Unmarshal(body, &u); err != nil {
		return nil, fmt.Errorf("decode an update: %w", err)
	}
	if u.Output.Bytesize != nil && (*u.Output.Bytesize < 0 || *u.Output.Bytesize > maxOffset) {
		return nil, fmt.Errorf("decode an update: bytesize %d is out of range", *u.Output.Bytesize)
	}
	return &u, nil
}

// put is the sub-runner's update: a sign of life, or its last word.
func (t *trace) put(ctx context.Context, u *update) reply {
	if u.State != "success" && u.State != "failed" {
		return t.touch(ctx, u)
	}
	if t.final == nil {
		t.notes.heard(u.finalWord)
	}
	t.final = u
	r, err := t.deliver(ctx, u)
	if err == nil && !isDown(r.status) {
		return r
	}
	if _, long := t.up.health.down(); long {
		return reply{status: http.StatusAccepted, body: []byte("202"), header: http.Header{
			"Job-Status": {t.lastStatus()}, "X-Gitlab-Trace-Update-Interval": {finalInterval},
		}}
	}
	if err != nil {
		t.log.Warn("final update", "err", err)
		return failure(http.StatusBadGateway)
	}
	return r
}

// deliver sends the rest of the trace, unless that was refused, then the final update.
func (t *trace) deliver(ctx context.Context, u *update) (reply, error) {
	if !t.refused {
		if r, err := t.flush(ctx); err != nil || isDown(r.status) {
			return r, err
		}
	}
	r, err := t.update(ctx, u)
	if err != nil {
		return r, err
	}
	if r.status == http.StatusOK && !r.ofUpdate() {
		return failure(http.StatusBadGateway), nil // something on the way said that: it may never have arrived
	}
	t.refused = isRefused(r.status)
	switch r.status {
	case http.StatusOK:
		t.ended = true
		t.notes.delivered()
	case http.StatusPreconditionFailed: // it wants the whole trace again, and may or may not have dropped it
		t.acked, t.promised, t.unsure = 0, 0, []int64{t.acked}
	}
	return r, nil
}

// ofUpdate tells whether a good answer to an update may be a coordinator's: it names the job's
// status, or has no text but the HTTP status (gitlab-runner-api.md section 5).
func (r reply) ofUpdate() bool {
	text := strings.Trim(string(r.body), "\" \r\n")
	return r.header.Get("Job-Status") != "" || text == "" || text == strconv.Itoa(r.status)
}

// touch passes a sign of life on. It never fails for want of a coordinator: a
// sub-runner of 18.5 or newer begins with one.
func (t *trace) touch(ctx context.Context, u *update) reply {
	r, err := reply{}, error(nil)
	if t.promised > t.acked {
		r, err = t.flush(ctx)
	}
	if err == nil && !isDown(r.status) {
		r, err = t.update(ctx, u)
	}
	if err != nil || isDown(r.status) {
		t.log.Warn("sign of life not delivered", "status", r.status, "err", err)
		return reply{status: http.StatusOK, body: []byte("200"), header: http.Header{"Job-Status": {t.lastStatus()}}}
	}
	t.refused = isRefused(r.status)
	return r
}

// update sends a PUT with the checksum and size of the whole trace.
func (t *trace) update(ctx context.Context, u *update) (reply, error) {
	body, err := t.whole(u)
	if err != nil {
		return reply{}, err
	}
	return t.up.call(ctx, http.MethodPut, t.up.jobPath(), "", u.header, body)
}

// whole edits the sub-runner's checksum and size, which speak of its own bytes, so
// that they speak of the whole trace. Nothing else is touched.
func (t *trace) whole(u *update) ([]byte, error) {
	if t.head.size == 0 {
		return u.body, nil
	}
	size := t.length
	if u.Output.Bytesize != nil {
		size = *u.Output.Bytesize
	}
	return editJSON(u.body, []string{"checksum", "output.checksum", "output.bytesize"}, func(place, old string) string {
		if place == "output.bytesize" {
			if u.Output.Bytesize == nil {
				return old // null
			}
			return strconv.FormatInt(size+t.head.size, 10)
		}
		return t.checksum(old, size)
	})
}

// checksum gives the JSON text of the whole trace's checksum; null, which asks for
// no check, when what is before the sub-runner's bytes is not known.
func (t *trace) checksum(old string, size int64) string {
	hex, ok := strings.CutPrefix(strings.Trim(old, `"`), "crc32:")
	if !ok {
		return old
	}
	crc, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || !t.head.known {
		return "null"
	}
	return fmt.Sprintf(`"crc32:%08x"`, t.head.then(uint32(crc), size).crc)
}
