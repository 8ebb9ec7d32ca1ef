// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Owner is the mark of one runner registration: it differs between registrations
// and can be computed again when the ledger is lost.
type Owner string

const (
	ownerLen  = 10
	keyPrefix = "hpd-job-"
)

// OwnerOf is the first 10 base32 characters (lower case) of HMAC-SHA256 with the
// runner's token as key and the normalised coordinator URL as message.
func OwnerOf(runnerToken, coordinatorURL string) (Owner, error) {
	normal, err := NormalizeURL(coordinatorURL)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(runnerToken))
	mac.Write([]byte(normal))
	sum := base32.StdEncoding.EncodeToString(mac.Sum(nil))
	return Owner(strings.ToLower(sum[:ownerLen])), nil
}

// ParseOwner checks a pinned owner (`paas_owner`).
func ParseOwner(s string) (Owner, error) {
	if len(s) != ownerLen {
		return "", fmt.Errorf("owner %q: want %d characters out of a-z and 2-7", s, ownerLen)
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return "", fmt.Errorf("owner %q: want %d characters out of a-z and 2-7", s, ownerLen)
		}
	}
	return Owner(s), nil
}

// Key is the name of a job's instance, chosen before the instance exists:
// `hpd-job-<owner>-<job id>`, exactly.
func (o Owner) Key(jobID int64) string {
	return keyPrefix + string(o) + "-" + strconv.FormatInt(jobID, 10)
}

// KeyPrefix is what all keys of this owner begin with. Beginning with it proves
// nothing: use ParseKey.
func (o Owner) KeyPrefix() string { return keyPrefix + string(o) + "-" }

// ParseKey takes a key apart. It accepts only what Owner.Key can produce.
func ParseKey(key string) (Owner, int64, bool) {
	rest, ok := strings.CutPrefix(key, keyPrefix)
	if !ok {
		return "", 0, false
	}
	o, digits, ok := strings.Cut(rest, "-")
	if !ok {
		return "", 0, false
	}
	owner, err := ParseOwner(o)
	if err != nil {
		return "", 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id <= 0 || owner.Key(id) != key {
		return "", 0, false
	}
	return owner, id, true
}

// NormalizeURL brings a coordinator's URL to the one form used for identity:
// lower-case scheme and host, no default port, no trailing "/" or "/ci" (both of
// which gitlab-runner cuts too), no user, query or fragment.
func NormalizeURL(raw string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return "", fmt.Errorf("coordinator URL: %w", err)
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("coordinator URL %q: want http:// or https://", raw)
	}
	if u.Host == "" {
		return "", fmt.Errorf("coordinator URL %q: the host is missing", raw)
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/ci"), "/")
	return scheme + "://" + host + path, nil
}
