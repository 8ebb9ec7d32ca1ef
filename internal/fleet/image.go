// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"regexp"
)

// maxImage is well above what registries accept (255 for the name alone).
const maxImage = 512

// imageReference is the grammar of image references:
// [host[:port]/]path[:tag][@digest].
var imageReference = regexp.MustCompile(`^` +
	`(?:(?:` + hostPart + `(?:\.` + hostPart + `)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?/)?` +
	pathPart + `(?:/` + pathPart + `)*` +
	`(?::[0-9A-Za-z_][0-9A-Za-z_.-]{0,127})?` +
	`(?:@[A-Za-z][0-9A-Za-z]*(?:[-_+.][A-Za-z][0-9A-Za-z]*)*:[0-9a-fA-F]{32,128})?` +
	`$`)

const (
	hostPart = `[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?`
	pathPart = `[0-9a-z]+(?:(?:\.|__?|-+)[0-9a-z]+)*`
)

// CheckImage tells what is wrong with an image reference. What passes can stand
// in a Dockerfile: it holds no blank, line end, variable or option.
func CheckImage(image string) error {
	if len(image) > maxImage {
		return fmt.Errorf("image reference of %d characters: want at most %d", len(image), maxImage)
	}
	if !imageReference.MatchString(image) {
		return fmt.Errorf("image reference %q: want [host[:port]/]name[:tag][@digest], the name in lower case", image)
	}
	return nil
}
