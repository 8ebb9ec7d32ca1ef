// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"context"
	"time"
)

// staleFor is how long an expired value is used before its source is asked again,
// when the source could not be reached.
const staleFor = 30 * time.Second

// cache holds one value that changes rarely. It can be lost at any time. Only one
// caller fetches; the turn is a channel, so that the others can give up waiting.
type cache[T any] struct {
	turn  chan struct{}
	value T
	have  bool
	until time.Time
}

func newCache[T any]() *cache[T] { return &cache[T]{turn: make(chan struct{}, 1)} }

// fetcher gets a value and says for how long it is good.
type fetcher[T any] func(ctx context.Context) (T, time.Duration, error)

// get gives the value, fetched if it has expired. When fetching fails, an expired
// value is still better than none.
func (c *cache[T]) get(ctx context.Context, fetch fetcher[T]) (T, error) {
	return c.use(ctx, fetch, func() bool { return time.Now().Before(c.until) }, true)
}

// replace gives a value other than the one that turned out wrong, fetched unless
// somebody did so since.
func (c *cache[T]) replace(ctx context.Context, fetch fetcher[T], good func(T) bool) (T, error) {
	return c.use(ctx, fetch, func() bool { return good(c.value) }, false)
}

func (c *cache[T]) use(ctx context.Context, fetch fetcher[T], fresh func() bool, stale bool) (T, error) {
	var none T
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-c.turn }()
	if c.have && fresh() {
		return c.value, nil
	}
	value, good, err := fetch(ctx)
	if err != nil {
		if !stale || !c.have {
			return none, err
		}
		c.until = time.Now().Add(staleFor)
		return c.value, nil
	}
	c.value, c.have, c.until = value, true, time.Now().Add(good)
	return value, nil
}
