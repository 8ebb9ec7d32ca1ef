// SPDX-License-Identifier: Apache-2.0

package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/fault"
	"heptapod-paas-runner/internal/sim/memnet"
)

// bubble runs a test on a network. When it ends, a goroutine that is still there fails it.
func bubble(t *testing.T, c memnet.Config, test func(t *testing.T, n *memnet.Network)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(c)
		defer n.Close()
		test(t, n)
	})
}

// listener is anything that one can listen with.
type listener interface {
	Listen(addr string) (net.Listener, error)
}

func serve(t *testing.T, on listener, addr string, h http.HandlerFunc) net.Listener {
	t.Helper()
	l, err := on.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l
}

func get(t *testing.T, rt http.RoundTripper, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestHostsAreFoundByName(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		serve(t, n, "gitlab.example", says("any port"))
		serve(t, n, "gitlab.example:8080", says("8080"))
		free := serve(t, n, "127.0.0.1:0", says("free port"))
		rt := n.Transport()
		for url, want := range map[string]string{
			"http://gitlab.example/":              "any port",
			"http://gitlab.example:99/":           "any port",
			"http://gitlab.example:8080/":         "8080",
			"http://" + free.Addr().String() + "": "free port",
		} {
			if got, err := get(t, rt, url); got != want || err != nil {
				t.Errorf("GET %s = %q, %v, want %q", url, got, err, want)
			}
		}
		if _, err := get(t, rt, "http://nobody.example/"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a host where nobody listens: %v, want connection refused", err)
		}
		if _, err := n.Listen("gitlab.example"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listening twice: %v, want address in use", err)
		}
	})
}

func TestClosedListenerRefusesAndMayBeOpenedAgain(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		l := serve(t, n, "a", says("one"))
		_ = l.Close()
		if _, err := get(t, n.Transport(), "http://a/"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after Close: %v, want connection refused", err)
		}
		serve(t, n, "a", says("two"))
		if got, err := get(t, n.Transport(), "http://a/"); got != "two" {
			t.Errorf("after listening again: %q, %v", got, err)
		}
	})
}

func TestLargeBodiesBothWays(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		serve(t, n, "echo", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		})
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := n.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d, %v", len(got), len(sent), err)
		}
	})
}

func TestCutEndsWhatIsHeldAndRefusesTheRest(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		var gone []string
		var mu sync.Mutex
		serve(t, n, "server", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, r.URL.Path)
		})
		killed, other := n.Client("killed"), n.Client("other")
		answers := make(chan error, 3)
		for _, path := range []string{"/a", "/b"} {
			go func() { _, err := get(t, killed.Transport(), "http://server"+path); answers <- err }()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/other", nil)
			resp, err := other.Transport().RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			answers <- err
		}()
		synctest.Wait()

		start := time.Now()
		killed.Cut()
		for range 2 {
			if err := <-answers; !errors.Is(err, memnet.ErrCut) {
				t.Errorf("a request of the cut client ended with %v", err)
			}
		}
		synctest.Wait()
		mu.Lock()
		if len(gone) != 2 {
			t.Errorf("the server saw %v go, want /a and /b only", gone)
		}
		mu.Unlock()
		if _, err := get(t, killed.Transport(), "http://server/c"); !errors.Is(err, memnet.ErrCut) {
			t.Errorf("a request after the cut: %v", err)
		}
		if _, err := killed.Dial(t.Context(), "tcp", "server:80"); !errors.Is(err, memnet.ErrCut) {
			t.Errorf("a dial after the cut: %v", err)
		}
		if n.Client("killed") != killed {
			t.Error("a cut client's name gives another client: it would be alive again")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("cutting took %v, want no time at all", took)
		}
		cancel()
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("the other client's request ended with %v, want its own cancellation", err)
		}
	})
}

func TestCutTakesListenersAlong(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		service := n.Client("service")
		serve(t, service, "service:9252", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		answer := make(chan error, 1)
		go func() { _, err := get(t, n.Transport(), "http://service:9252/"); answer <- err }()
		synctest.Wait()
		service.Cut()
		if err := <-answer; err == nil {
			t.Error("a connection to the cut service lives on")
		}
		if _, err := get(t, n.Transport(), "http://service:9252/"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialing the cut service: %v, want connection refused", err)
		}
		if _, err := service.Listen("service:1"); !errors.Is(err, memnet.ErrCut) {
			t.Errorf("listening after the cut: %v", err)
		}
		serve(t, n.Client("service/2"), "service:9252", says("again"))
		if got, err := get(t, n.Transport(), "http://service:9252/"); got != "again" {
			t.Errorf("the next process: %q, %v", got, err)
		}
	})
}

func TestLatencyIsSimulatedAndEndsWithTheRequest(t *testing.T) {
	latency := func(_ *http.Request, n int) time.Duration { return time.Duration(n) * time.Second }
	bubble(t, memnet.Config{Latency: latency}, func(t *testing.T, n *memnet.Network) {
		serve(t, n, "server", says("hello"))
		rt := n.Transport()
		for _, want := range []time.Duration{time.Second, 2 * time.Second} {
			start := time.Now()
			if _, err := get(t, rt, "http://server/"); err != nil || time.Since(start) != want {
				t.Errorf("took %v (%v), want %v", time.Since(start), err, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://server/", strings.NewReader("x"))
		if resp, err := rt.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request slower than its deadline: %v, %v", resp, err)
		}
	})
}

func TestCutEndsWhatIsStillUnderWay(t *testing.T) {
	latency := func(*http.Request, int) time.Duration { return time.Hour }
	bubble(t, memnet.Config{Latency: latency}, func(t *testing.T, n *memnet.Network) {
		serve(t, n, "server", func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") })
		start := time.Now()
		time.AfterFunc(time.Second, n.Client("killed").Cut)
		if _, err := get(t, n.Client("killed").Transport(), "http://server/"); !errors.Is(err, memnet.ErrCut) || time.Since(start) != time.Second {
			t.Errorf("ended with %v after %v, want the cut after 1s", err, time.Since(start))
		}
	})
}

func TestHookCutsBeforeOrAfterTheServerPerforms(t *testing.T) {
	for _, answered := range []bool{false, true} {
		t.Run(map[bool]string{false: "before", true: "after"}[answered], func(t *testing.T) {
			var n *memnet.Network
			hook := func(client string, _ *http.Request, number int, back bool) {
				if number == 2 && back == answered {
					n.Client(client).Cut()
				}
			}
			bubble(t, memnet.Config{Hook: hook}, func(t *testing.T, network *memnet.Network) {
				n = network
				performed := 0
				serve(t, n, "server", func(http.ResponseWriter, *http.Request) { performed++ })
				rt := n.Client("manager").Transport()
				if _, err := get(t, rt, "http://server/"); err != nil {
					t.Error(err)
				}
				if _, err := get(t, rt, "http://server/"); !errors.Is(err, memnet.ErrCut) {
					t.Errorf("the second request: %v, want the cut", err)
				}
				synctest.Wait()
				if want := map[bool]int{false: 1, true: 2}[answered]; performed != want {
					t.Errorf("performed %d, want %d", performed, want)
				}
			})
		})
	}
}

func TestFaultsReallyCutHere(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		performed := 0
		panel := fault.New(fault.Config{})
		serve(t, n, "server", panel.Wrap(says("hello")).ServeHTTP)
		serve(t, n, "counted", panel.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { performed++ })).ServeHTTP)
		for _, drop := range []string{"before", "after"} {
			if _, err := panel.Add(fault.Fault{Match: "GET /" + drop, Drop: drop, Delay: "3s"}); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if got, err := get(t, n.Transport(), "http://counted/"+drop); err == nil {
				t.Errorf("drop %s answered %q", drop, got)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("drop %s took %v, want its delay of 3s", drop, took)
			}
		}
		if performed != 1 {
			t.Errorf("performed %d, want the one that was dropped after", performed)
		}
		if got, err := get(t, n.Transport(), "http://server/after"); got != "hello" {
			t.Errorf("the next request: %q, %v", got, err)
		}
	})
}

func TestClosedNetworkIsDead(t *testing.T) {
	bubble(t, memnet.Config{}, func(t *testing.T, n *memnet.Network) {
		serve(t, n, "server", says("hello"))
		n.Close()
		if _, err := get(t, n.Client("late").Transport(), "http://server/"); !errors.Is(err, memnet.ErrCut) {
			t.Errorf("a new client: %v", err)
		}
		if _, err := n.Listen("other"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a new listener: %v", err)
		}
	})
}
