// SPDX-License-Identifier: Apache-2.0

package register_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/secret"
)

func TestTwins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write(strings.Replace(valid, "https://old.example.com", b.url, 1))
	o := b.newFile()
	o.Token, o.RegistrationToken = secret.New("glrt-old"), secret.String{}
	b.refused("the same token", b.run(o), 3, "the new [[runners]] section: token: the section in line 7 has the same token and URL")
	if b.called() != "" {
		t.Errorf("called %s", b.called())
	}
	o.Token, o.Name = secret.New("glrt-other"), "old"
	got := b.run(o)
	b.good(got)
	if !strings.Contains(got.say, "the section in line 7 has the same name") {
		t.Errorf("no warning: %s", got.say)
	}
}

func TestManyRegisterAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const many = 6
	var work sync.WaitGroup
	results := make([]outcome, many)
	for i := range many {
		work.Go(func() {
			o := b.newFile()
			o.Name = fmt.Sprint("runner", i)
			results[i] = b.run(o)
		})
	}
	work.Wait()
	for _, got := range results {
		b.good(got)
	}
	cfg := b.load()
	var names []string
	for _, rc := range cfg.Runners {
		names = append(names, rc.Name)
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[runner0 runner1 runner2 runner3 runner4 runner5]" || len(b.runners()) != many {
		t.Errorf("%v; at the coordinator %v", names, b.runners())
	}
}
