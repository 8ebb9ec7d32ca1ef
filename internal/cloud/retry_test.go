// SPDX-License-Identifier: Apache-2.0

package cloud_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// scripted fails every call with the next error of its script, then succeeds.
type scripted struct {
	cloud.Provisioner
	errs  []error
	calls []time.Duration
	begun time.Time
}

func (s *scripted) next() error {
	s.calls = append(s.calls, time.Since(s.begun))
	if len(s.errs) == 0 {
		return nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *scripted) Flavors(context.Context) ([]fleet.Flavor, error) { return nil, s.next() }
func (s *scripted) List(context.Context, cloud.Tenant, fleet.Owner) ([]cloud.Sighting, error) {
	return []cloud.Sighting{{Key: "k"}}, s.next()
}
func (s *scripted) Inspect(context.Context, cloud.Ref) (cloud.Sighting, error) {
	return cloud.Sighting{Key: "k"}, s.next()
}
func (s *scripted) Destroy(context.Context, cloud.Ref) error                 { return s.next() }
func (s *scripted) Start(context.Context, cloud.Ref, []fleet.File) error     { return s.next() }
func (s *scripted) Recover(context.Context, cloud.Ref) ([]fleet.File, error) { return nil, s.next() }
func (s *scripted) Create(context.Context, cloud.Spec) (cloud.Sighting, error) {
	return cloud.Sighting{}, s.next()
}

func class(c fleet.Class, after time.Duration) error {
	return &fleet.CallError{Class: c, RetryAfter: after, Err: errors.New(c.String())}
}

func most() float64 { return 1 } // the longest pause that jitter gives

func calls(p cloud.Provisioner) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"flavors": func(ctx context.Context) error { _, err := p.Flavors(ctx); return err },
		"list":    func(ctx context.Context) error { _, err := p.List(ctx, cloud.Tenant{}, ""); return err },
		"inspect": func(ctx context.Context) error { _, err := p.Inspect(ctx, cloud.Ref{}); return err },
		"destroy": func(ctx context.Context) error { return p.Destroy(ctx, cloud.Ref{}) },
		"create":  func(ctx context.Context) error { _, err := p.Create(ctx, cloud.Spec{}); return err },
		"start":   func(ctx context.Context) error { return p.Start(ctx, cloud.Ref{}, nil) },
		"recover": func(ctx context.Context) error { _, err := p.Recover(ctx, cloud.Ref{}); return err },
	}
}

func TestRetryRepeatsWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	lost, busy := class(fleet.Unknown, 0), class(fleet.Transient, 0)
	for what, want := range map[string]int{"flavors": 3, "list": 3, "inspect": 3, "destroy": 3, "create": 1, "start": 1, "recover": 1} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{errs: []error{lost, busy}, begun: time.Now()}
				err := calls(cloud.NewRetry(s, most, cloud.RetryConfig{}))[what](t.Context())
				if (err == nil) != (want == 3) || len(s.calls) != want {
					t.Errorf("%d calls, %v; want %d", len(s.calls), err, want)
				}
				if at := []time.Duration{0, 500 * ms, 1500 * ms}[:want]; !slices.Equal(s.calls, at) {
					t.Errorf("calls at %v, want %v", s.calls, at)
				}
			})
		})
	}
}

func TestRetryGivesUp(t *testing.T) {
	t.Parallel()
	busy := class(fleet.Transient, 0)
	for name, c := range map[string]struct {
		errs  []error
		limit time.Duration // the caller's
		want  int           // calls
		took  time.Duration
	}{
		"permanent":              {[]error{class(fleet.Permanent, 0), busy}, time.Hour, 1, 0},
		"after four calls":       {[]error{busy, busy, busy, busy, busy}, time.Hour, 4, 3500 * time.Millisecond},
		"asked to wait":          {[]error{class(fleet.Transient, 9*time.Second)}, time.Hour, 2, 9 * time.Second},
		"asked to wait too long": {[]error{class(fleet.Transient, time.Minute)}, time.Hour, 1, 0},
		"no time left":           {[]error{busy, busy}, 600 * time.Millisecond, 2, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				s := &scripted{errs: c.errs, begun: time.Now()}
				last := c.errs[min(c.want, len(c.errs))-1]
				err := cloud.NewRetry(s, most, cloud.RetryConfig{}).Destroy(ctx, cloud.Ref{})
				if len(s.calls) != c.want || time.Since(s.begun) != c.took {
					t.Errorf("%d calls in %s, want %d in %s", len(s.calls), time.Since(s.begun), c.want, c.took)
				}
				if c.want <= len(c.errs) && err != last {
					t.Errorf("error %v, want the last: %v", err, last)
				}
			})
		})
	}
}

func TestRetryStopsWhenCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &scripted{errs: []error{class(fleet.Unknown, 0), class(fleet.Unknown, 0)}, begun: time.Now()}
		time.AfterFunc(100*time.Millisecond, cancel)
		err := cloud.NewRetry(s, most, cloud.RetryConfig{}).Destroy(ctx, cloud.Ref{})
		if err == nil || len(s.calls) != 1 || time.Since(s.begun) != 100*time.Millisecond {
			t.Errorf("%v after %d calls in %s", err, len(s.calls), time.Since(s.begun))
		}
	})
}

func TestRetryJitterNeverGoesBelowHalf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{errs: []error{class(fleet.Transient, 0)}, begun: time.Now()}
		if _, err := cloud.NewRetry(s, func() float64 { return 0 }, cloud.RetryConfig{}).Flavors(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, 250 * time.Millisecond}; !slices.Equal(s.calls, want) {
			t.Errorf("calls at %v, want %v", s.calls, want)
		}
	})
}
