// SPDX-License-Identifier: Apache-2.0

package hostfile_test

import (
	"strings"
	"testing"

	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
)

// The public part is everything up to the ninth character after the prefixes that
// gitlab-runner cuts; nothing after it may stay.
func TestStandInKeepsThePublicPartOnly(t *testing.T) {
	t.Parallel()
	for real, public := range map[string]string{
		"glrt-abcdefghiSECRETSECRETSEC":        "glrt-abcdefghi",
		"glrt-t1_abcdefghiSECRETSECRET":        "glrt-t1_abcdefghi",
		"glrt-t3_abcdefghiSECRETSECRET.01.170": "glrt-t3_abcdefghi",
		"t2_abcdefghiSECRETSECRETSEC":          "t2_abcdefghi",
		"glrtr-abcdefghiSECRETSECRETS":         "glrtr-abcdefghi",
		"GR1348941abcdefghiSECRETSECRET":       "GR1348941abcdefghi",
		"abcdefghiSECRETSECRE":                 "abcdefghi",
		"acme-glrt-SECRETSECRETSEC":            "acme-glrt", // an instance's own prefix is not cut
		"sim-runner-token":                     "sim-runne",
		"tokenX":                               "tok", // too short to show nine of it
		"":                                     "",
	} {
		got := hostfile.StandIn(secret.New(real), secret.New("n")).Reveal()
		if !strings.HasPrefix(got, public) {
			t.Errorf("%q: %q does not begin with %q", real, got, public)
		}
		rest := strings.TrimPrefix(got, public)
		if len(rest) != 26 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("%q: after the public part comes %q", real, rest)
		}
		if short := hostfile.ShortToken(secret.New(real)); short != "" && (short != hostfile.ShortToken(secret.New(got)) || !strings.HasSuffix(public, short)) {
			t.Errorf("%q is shown as %q, its stand-in as %q", real, short, hostfile.ShortToken(secret.New(got)))
		}
		if hidden := strings.TrimPrefix(real, public); len(hidden) > 3 && strings.Contains(got, hidden) {
			t.Errorf("%q is in its stand-in %q", real, got)
		}
	}
}

func TestStandInsDifferByJobAndNotByTime(t *testing.T) {
	t.Parallel()
	token := secret.New("glrt-abcdefghiSECRETSECRETSEC")
	one, again := hostfile.StandIn(token, secret.New("n1")), hostfile.StandIn(token, secret.New("n1"))
	two := hostfile.StandIn(token, secret.New("n2"))
	if one != again || one == two {
		t.Errorf("same nonce: equal is %v; other nonce: equal is %v", one == again, one == two)
	}
	bearer := hostfile.NoticeBearer(secret.New("n1")).Reveal()
	if len(bearer) != 64 || strings.Contains(one.Reveal(), bearer[:16]) || bearer == hostfile.NoticeBearer(secret.New("n2")).Reveal() {
		t.Errorf("bearer %q", bearer)
	}
}
