// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"regexp"
	"strings"

	"heptapod-paas-runner/internal/secret"
)

const (
	shortTokenLen = 9  // what GitLab and gitlab-runner show of a token
	hiddenLen     = 7  // at least so much of the real token must stay away
	standInRandom = 26 // characters of base32: 130 bits
)

// tokenPrefixes are the parts in front of a runner token that gitlab-runner cuts
// before it takes the short token: the kind, the partition (t1_ …), and the
// dated prefix of old registration tokens.
var tokenPrefixes = regexp.MustCompile(`^(?:glrt-(?:t[0-9]_)?|t[0-9]_|glrtr-|glcbt-|GR[0-9A-Fa-f]{7})`)

// StandIn gives the token that an instance gets in place of the runner's own. Its
// public part (kind prefix and short token) is that of the real one, so that
// names and cache prefixes made from it stay the same; the rest comes from the
// job's nonce.
func StandIn(runnerToken, nonce secret.String) secret.String {
	real := runnerToken.Reveal()
	cut := len(tokenPrefixes.FindString(real))
	keep := shortTokenLen
	if body := len(real) - cut; body < shortTokenLen+hiddenLen {
		keep = body / 2 // no real server gives such short tokens; never show one whole
	}
	return secret.New(real[:cut+keep] + derive(nonce, "stand-in token")[:standInRandom])
}

// ShortToken is what gitlab-runner shows of its token, and writes on all that it makes on a
// Docker Engine; "" when the token is so short that the stand-in's is another for each job.
func ShortToken(runnerToken secret.String) string {
	body := tokenPrefixes.ReplaceAllString(runnerToken.Reveal(), "")
	if len(body) < shortTokenLen+hiddenLen {
		return ""
	}
	return body[:shortTokenLen]
}

// NoticeBearer gives the bearer with which the instance's notices are signed.
func NoticeBearer(nonce secret.String) secret.String {
	mac := hmac.New(sha256.New, []byte(nonce.Reveal()))
	mac.Write([]byte("notice bearer"))
	return secret.New(hex.EncodeToString(mac.Sum(nil)))
}

// derive gives 52 characters a-z, 2-7 for one purpose.
func derive(nonce secret.String, purpose string) string {
	mac := hmac.New(sha256.New, []byte(nonce.Reveal()))
	mac.Write([]byte(purpose))
	return strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString(mac.Sum(nil)), "="))
}
