// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heptapod-paas-runner/internal/secret"
)

// hostile draws text that tries to leave its place in TOML, JSON and a Dockerfile.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune("\n\r\t\x00\x1b\x7f\u0085\u202e\u2028\"'\\`$[]{}=#,.:;"), unicode.Cc, unicode.Cf)),
		rapid.SampledFrom([]string{
			"\nFROM evil\nRUN id\n", "\"]\n[[runners]]\nurl = \"http://evil\"\n", `""" ''' \`, "\\u0000\\n", "key = [", `","token":"x`,
			urlPlaceholder, networkPlaceholder, strings.Repeat("x", 1<<14), "${CI_JOB_TOKEN}", "*/", "--option",
		}),
	)
}

// value draws what a TOML file can hold.
func value(depth int) *rapid.Generator[any] {
	plain := []*rapid.Generator[any]{
		rapid.Map(hostile(), func(s string) any { return s }), rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.SliceOfN(hostile(), 0, 3), func(list []string) any {
			out := []any{}
			for _, s := range list {
				out = append(out, s)
			}
			return out
		}),
	}
	if depth > 0 {
		plain = append(plain, rapid.Map(section(depth-1), func(m map[string]any) any { return m }))
	}
	return rapid.OneOf(plain...)
}

func section(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(hostile(), value(depth), 0, 4)
}

// Whatever stands in a section and in a job: the Dockerfile is the same, and what is read
// back out of runner.toml, relay.json and job.json is what was put in.
func TestHostileTextChangesNothingButItself(t *testing.T) {
	t.Parallel()
	clean := ""
	rapid.Check(t, func(t *rapid.T) {
		forward := section(2).Draw(t, "section")
		for _, taken := range []string{"docker", "clone_url"} { // tested by name elsewhere
			deleteFold(forward, taken)
		}
		name := "x" + strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(hostile().Draw(t, "name"), ""))
		text := hostile().Draw(t, "job")
		payload, err := json.Marshal(map[string]any{
			"id": 1, "job_info": map[string]any{"name": text, "project_name": text}, "git_info": map[string]any{"ref": text, "repo_url": text},
			"image":     map[string]any{"name": text},
			"services":  []any{map[string]any{"name": text, "alias": text}},
			"variables": []any{map[string]any{"key": text, "value": text}, map[string]any{"key": "CI_CLEVER_CLOUD_FLAVOR", "value": text}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h := Host{
			Mode: ModeRelay, MainImage: "runner:1", RelayBinary: []byte("x"), RunnerName: name, Forward: forward, Coordinator: "https://gitlab.example",
			Payload: payload, JobID: 1, Key: text, StandIn: secret.New("stand-in"), AcquiredAt: time.Unix(1, 0), PhaseNote: text, NoticeURL: "https://x/" + text,
		}
		files, err := Render(h)
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if clean == "" {
			clean = string(files[0].Data)
		}
		if string(files[0].Data) != clean {
			t.Errorf("the Dockerfile is\n%s", files[0].Data)
		}
		readBack(t, h, files[1].Data, files[3].Data)
		if !bytes.Equal(files[2].Data, payload) {
			t.Error("the job was changed")
		}
	})
}

func readBack(t *rapid.T, h Host, runner, relay []byte) {
	want := forwarded(h.Forward)
	want["name"], want["token"], want["executor"], want["url"] = h.RunnerName, "stand-in", "docker", urlPlaceholder
	want["docker"] = map[string]any{"network_mode": networkPlaceholder}
	var got struct {
		Runners []map[string]any `toml:"runners"`
	}
	if _, err := toml.Decode(string(runner), &got); err != nil || len(got.Runners) != 1 {
		t.Fatalf("%v: %d runners in\n%s", err, len(got.Runners), runner)
	}
	if diff := cmp.Diff(valid(want), any(got.Runners[0])); diff != "" {
		t.Errorf("runner.toml (-want +got): %s", diff)
	}
	var wire relayWire
	if err := json.Unmarshal(relay, &wire); err != nil {
		t.Fatal(err)
	}
	text := string([]rune(h.PhaseNote))
	if wire.PhaseNote != text || wire.Key != text || wire.RunnerName != h.RunnerName || wire.StandInToken != "stand-in" || wire.JobID != 1 {
		t.Errorf("relay.json is %s", relay)
	}
}

// valid gives a value as it is read back: text in UTF-8.
func valid(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			out[key] = valid(item)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, valid(item))
		}
		return out
	}
	return v
}

// Variables that hold each other, in a job with very many services, cost next to nothing.
func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	variables := map[string]string{"LAST": strings.Repeat("x", 1<<20), "LOOP": "$LOOP$LOOP"}
	for i := range 900 {
		variables[fmt.Sprint("V", i)] = fmt.Sprintf("$V%d", i+1)
	}
	variables["V900"] = "$LAST"
	for _, name := range []string{"$V0", "$LOOP", "$LAST$LAST", strings.Repeat("$LAST", 100)} {
		steps := maxSteps
		if got := expand(name, variables, &steps); len(got) > maxExpansion+1 {
			t.Errorf("%.20s expands to %d characters", name, len(got))
		}
	}
	p := &proxy{prefix: "p", variables: variables, steps: maxAllSteps}
	service := []byte(`{"name":"$V0"}`)
	for range 1000 {
		p.image(service, span{0, len(service)}, true)
	}
	if p.steps != 0 {
		t.Errorf("%d steps are left: a job may take as many as it has services", p.steps)
	}
	if edits := p.image([]byte(`{"name":"alpine"}`), span{0, len(`{"name":"alpine"}`)}, false); len(edits) != 1 {
		t.Error("a name without variables is left alone when the steps are used up")
	}
}
