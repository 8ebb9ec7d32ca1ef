// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"
)

const noticeTimeout = 5 * time.Second

// notices tells the manager what happens here: a hint, sent once, in order, that
// nothing waits for but the end of the program.
type notices struct {
	url, bearer, key, agent string
	transport               http.RoundTripper
	log                     *slog.Logger
	queue                   chan string
	done                    chan struct{}
}

// newNotices starts the sender; it sends nothing when the manager gave no address.
func newNotices(ctx context.Context, s *settings, transport http.RoundTripper, agent string, log *slog.Logger) *notices {
	n := &notices{
		key: s.Key, agent: agent, transport: transport, log: log,
		queue: make(chan string, 8), done: make(chan struct{}),
	}
	if s.Notice != nil {
		n.url, n.bearer = s.Notice.URL, s.Notice.Bearer
	}
	go func() {
		defer close(n.done)
		for event := range n.queue {
			n.post(ctx, event)
		}
	}()
	return n
}

// send never blocks: there are fewer events than places in the queue.
func (n *notices) send(event string) {
	if n.url != "" {
		n.queue <- event
	}
}

// finish waits for what is still to be sent.
func (n *notices) finish() {
	close(n.queue)
	<-n.done
}

func (n *notices) post(ctx context.Context, event string) {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"key": n.key, "event": event})
	if err != nil {
		n.log.Warn("encode a notice", "event", event, "err", err)
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		n.log.Warn("send a notice", "event", event, "err", err)
		return
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + n.bearer}, "Content-Type": {"application/json"}, "User-Agent": {n.agent},
	}
	answer, err := n.transport.RoundTrip(request)
	if err != nil {
		n.log.Warn("send a notice", "event", event, "err", err)
		return
	}
	answer.Body.Close()
	if answer.StatusCode >= 300 {
		n.log.Warn("send a notice", "event", event, "status", answer.StatusCode)
	}
}
