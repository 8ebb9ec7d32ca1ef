// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whatever stands around the image names, in whatever layout, only they change.
func TestOnlyNamesAreSpliced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blank := func(label string) string {
			return rapid.StringMatching(`[ \t\r\n]{0,3}`).Draw(t, label)
		}
		junk := func(label string) string {
			return rapid.SampledFrom([]string{
				`"odd":` + blank(label) + `1.50e+3`, `"nested":{"image":{"name":"not this"},"services":[{"name":"nor this"}]}`,
				`"dup":1,"dup":[ 2 ,{"a":null}]`, `"uni":"\u00e9\ud83d\ude00 é \" \\ "`, `"empty":{ }`, `"big":12345678901234567890`,
			}).Draw(t, label)
		}
		shape := func(image, service, aliased, alias string) string {
			return blank("a") + `{` + junk("b") + `,` + blank("c") + `"image"` + blank("d") + `:` + blank("e") + `{` + blank("f") + `"name":` + image +
				`,` + junk("g") + `},"services":[` + blank("h") + `{` + service + `"name"` + `:` + aliased + `},` + junkObject + `,{"alias":` + alias + `,"name":` + aliased +
				`}],"variables":[{"key":"CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX","value":"proxy.example/g"}]` + blank("i") + `}` + blank("j")
		}
		// Both are drawn with the same choices: the drawn parts are replaced by marks first.
		text := shape("@IMAGE@", "@NEW@", "@SERVICE@", "@ALIAS@")
		before := strings.NewReplacer("@IMAGE@", `"debian:12"`, "@NEW@", "", "@SERVICE@", `"postgres:13"`, "@ALIAS@", `""`).Replace(text)
		after := strings.NewReplacer("@IMAGE@", `"proxy.example/g/library/debian:12"`, "@NEW@", `"alias":"postgres",`,
			"@SERVICE@", `"proxy.example/g/library/postgres:13"`, "@ALIAS@", `"postgres"`).Replace(text)
		got, err := rewriteImages([]byte(before))
		if err != nil {
			t.Fatalf("%v in %s", err, before)
		}
		if diff := cmp.Diff(after, string(got)); diff != "" {
			t.Fatal(diff)
		}
	})
}

const junkObject = `{"name":"registry.example/x:1","k":[1,2]}`

// Hostile payloads neither break nor grow out of bounds, and what comes out is JSON again.
func FuzzRewriteImages(f *testing.F) {
	f.Add([]byte(`{"image":{"name":"a"},"services":[{"name":"b"},{"name":"$X","alias":null}],"variables":[{"key":"CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX","value":"p"},{"key":"X","value":"$X$X"}]}`))
	f.Add([]byte(`{"image":null,"services":{},"variables":7}`))
	f.Add([]byte(` {"image" : {"name":"a","name":"b"} }`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := rewriteImages(payload)
		if err != nil {
			if json.Valid(payload) && strings.HasPrefix(strings.TrimLeft(string(payload), " \t\r\n"), "{") {
				t.Errorf("an object was refused: %v", err)
			}
			return
		}
		if !json.Valid(out) {
			t.Errorf("not JSON any more: %s", out)
		}
		again, err := rewriteImages(out)
		if err != nil || !json.Valid(again) {
			t.Errorf("a second time: %v", err)
		}
	})
}

func TestNoObjectIsRefused(t *testing.T) {
	for _, bad := range []string{"", "null", "[]", `{"a":`, "7", `{} {}`} {
		if out, err := rewriteImages([]byte(bad)); err == nil {
			t.Errorf("%q gave %q", bad, fmt.Sprint(out))
		}
	}
}
