// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// Ids of Clever Cloud's errors that mean something to us.
const (
	idBadVariable   = 557  // a variable of the environment is not valid
	idNoApplication = 4004 // the application does not exist
	idNoVersion     = 9017 // the instance type and version do not exist (any more)
)

// maxMessage is how much of a foreign message is repeated.
const maxMessage = 300

// refusedError is an answer that is not a success. ID is 0 and Message empty when
// the body was not Clever Cloud's own.
type refusedError struct {
	Status  int
	ID      int
	Message string
	Fields  map[string]bool // that the message is about, where it names them
}

// Error implements error.
func (e *refusedError) Error() string {
	text := "answered " + strconv.Itoa(e.Status)
	if e.ID != 0 {
		text += fmt.Sprintf(", error %d", e.ID)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Is implements errors.Is: a platform that is busy or down can't be reached.
func (e *refusedError) Is(target error) bool {
	return target == fleet.ErrUnreachable && (e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout)
}

// redirectAdvice names the host only: the rest may hold anything.
func redirectAdvice(location string) string {
	to, err := url.Parse(location)
	if err != nil || to.Host == "" {
		return "a redirect, which is not followed: fix `cc_api_url`"
	}
	return fmt.Sprintf("redirected to %s://%s, which is not followed: fix `cc_api_url`", to.Scheme, plain(to.Host, nil))
}

// hasID tells whether err is a refusal with Clever Cloud's own error id.
func hasID(err error, status, id int) bool {
	e, ok := errors.AsType[*refusedError](err)
	return ok && e.Status == status && e.ID == id
}

// refusal reads an answer that is not a success and gives it its class.
func refusal(r request, res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxError)) // a broken error body is none of theirs
	e, own := readRefusal(res.StatusCode, body, sent(res.Request.Header.Get("Authorization")))
	failed := &fleet.CallError{
		Class:      classOfStatus(r, e.Status, own),
		RetryAfter: retryAfter(res.Header.Get("Retry-After")),
	}
	var err error = e
	switch {
	case own && e.Status == http.StatusNotFound && e.ID == idNoApplication:
		err = fmt.Errorf("%w: %w", fleet.ErrNotFound, e)
	case own && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
		err = fmt.Errorf("%w: %w", fleet.ErrUnauthorized, e)
	}
	if res.StatusCode/100 == 3 {
		e.Message = redirectAdvice(res.Header.Get("Location"))
	}
	if own && e.Message != "" {
		failed.UserText = "Clever Cloud says: " + e.Message
	}
	failed.Err = fmt.Errorf("%s: %s %s: %w", r.what, r.method, r.path, err)
	return failed
}

// classOfStatus is the table of the provisioner contract.
func classOfStatus(r request, status int, own bool) fleet.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return fleet.Transient
	case status >= 500, status == http.StatusRequestTimeout:
		return r.lost()
	case status >= 400 && own:
		return fleet.Permanent
	}
	return fleet.Unknown // a proxy's page, a redirect, anything else
}

// readRefusal tells apart what Clever Cloud says itself ({id, message, type} or, in
// v4, {code, error}) from what something on the way says.
func readRefusal(status int, body []byte, secrets []string) (e *refusedError, own bool) {
	e = &refusedError{Status: status}
	wire := object(body)
	said := cmp.Or(text(wire["message"]), text(wire["error"]))
	_, id := wire["id"]
	_, code := wire["code"]
	if said == "" || (!id && !code && text(wire["type"]) != "error") {
		return e, false
	}
	if id, err := strconv.Atoi(strings.Trim(string(wire["id"]), `"`)); err == nil {
		e.ID = id
	}
	e.Fields = map[string]bool{}
	for name := range object(wire["fields"]) {
		e.Fields[name] = true
	}
	e.Message = plain(said, secrets)
	return e, true
}

// object and text read a value if it is one, so that an odd field hides no others.
func object(raw []byte) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	if json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}

func text(raw []byte) string {
	var out string
	if json.Unmarshal(raw, &out) != nil {
		return ""
	}
	return out
}

// unseen are the parts of a page that no reader sees.
var unseen = regexp.MustCompile(`(?is)<(style|script|head)\b.*?</(style|script|head)\s*>`)

// plain makes one short line without markup of a foreign text, and takes our
// credential out of it should the other side repeat it.
func plain(text string, secrets []string) string {
	text = unseen.ReplaceAllString(redact(text, secrets), " ")
	var b strings.Builder
	tag, blank := false, false
	for _, c := range text {
		switch {
		case c == '<':
			tag = true
		case c == '>' && tag:
			tag, blank = false, true
		case tag:
		case unicode.IsSpace(c) || !unicode.IsPrint(c):
			blank = true
		default:
			if blank && b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteRune(c)
			blank = false
		}
		if b.Len() >= maxMessage {
			return b.String() + "…"
		}
	}
	return b.String()
}

// redact takes the longest secrets out first, so that none leaves a part of another.
func redact(text string, secrets []string) string {
	for _, s := range slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return cmp.Compare(len(b), len(a)) }) {
		if s != "" {
			text = strings.ReplaceAll(text, s, secret.Redacted)
		}
	}
	return text
}

// retryAfter reads the header's two forms; 0 when it says nothing.
func retryAfter(value string) time.Duration {
	const longest = 60 * 60 // an odd header must not silence us for good
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), longest)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), longest*time.Second)
	}
	return 0
}
