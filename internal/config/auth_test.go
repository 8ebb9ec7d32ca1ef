// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/secret"
)

const (
	asOAuth  = "cc_auth = \"oauth1\"\ncc_consumer_key = \"k\"\ncc_consumer_secret = \"s\""
	asUser   = asOAuth + "\ncc_oauth_token = \"t\"\ncc_oauth_secret = \"u\""
	asBridge = "cc_auth = \"bearer\"\ncc_api_url = \"https://API-bridge.clever-cloud.com/v2\""
)

// tokenless is a valid file without cc_token, with these lines from line 12 on.
func tokenless(lines string) string { return instead(above(lines), `cc_token = "c"`, "") }

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := secret.New
	for name, c := range map[string]struct {
		text  string
		token string
		want  Auth
	}{
		"nothing said":             {above(""), "c", Auth{Scheme: "token", OAuthSignature: "plaintext"}},
		"token":                    {above(`cc_auth = "Token"`), "c", Auth{Scheme: "token", OAuthSignature: "plaintext"}},
		"bearer":                   {above(`cc_auth = "bearer"`), "c", Auth{Scheme: "bearer", OAuthSignature: "plaintext"}},
		"bearer and git":           {above(asBridge + "\ncc_git_user = \"g\"\ncc_git_password = \"p\""), "c", Auth{Scheme: "bearer", OAuthSignature: "plaintext", GitUser: "g", GitPassword: s("p")}},
		"a user of its own":        {tokenless(asUser), "", Auth{Scheme: "oauth1", OAuthSignature: "plaintext", ConsumerKey: "k", ConsumerSecret: s("s"), OAuthToken: s("t"), OAuthSecret: s("u")}},
		"signed":                   {tokenless(asUser + "\ncc_oauth_signature = \"HMAC-SHA512\""), "", Auth{Scheme: "oauth1", OAuthSignature: "hmac-sha512", ConsumerKey: "k", ConsumerSecret: s("s"), OAuthToken: s("t"), OAuthSecret: s("u")}},
		"the organisation's":       {instead(above(asOAuth), `cc_token = "c"`, `cc_token = "t:u:v"`), "t:u:v", Auth{Scheme: "oauth1", OAuthSignature: "plaintext", ConsumerKey: "k", ConsumerSecret: s("s")}},
		"many tenants, one user":   {tokenless(asUser + "\ncc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"n\""), "", Auth{Scheme: "oauth1", OAuthSignature: "plaintext", ConsumerKey: "k", ConsumerSecret: s("s"), OAuthToken: s("t"), OAuthSecret: s("u")}},
		"many tenants, many users": {tokenless(asOAuth + "\ncc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"n\""), "", Auth{Scheme: "oauth1", OAuthSignature: "plaintext", ConsumerKey: "k", ConsumerSecret: s("s")}},
	} {
		cfg, err := read(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cc := cfg.Runners[0].Clever
		if diff := cmp.Diff(c.want, cc.Auth, reveal()); diff != "" || cc.Token.Reveal() != c.token {
			t.Errorf("%s: token %q, (-want +got):\n%s", name, cc.Token.Reveal(), diff)
		}
		if cc.Auth.OwnUser() != strings.Contains(c.text, "cc_oauth_token") {
			t.Errorf("%s: a user of its own: %t", name, cc.Auth.OwnUser())
		}
	}
}

// What contradicts itself is said by line, and nothing of a secret with it.
func TestCredentialsThatContradict(t *testing.T) {
	t.Parallel()
	noEffect := func(line int, key, scheme string) string {
		return fmt.Sprintf("f:%d: %s: has no effect with cc_auth = %q; set cc_auth = \"oauth1\", or remove it", line, key, scheme)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no scheme":               {above(`cc_auth = "oauth"`), `f:13: cc_auth: found "oauth", want one of: token, bearer, oauth1 (did you mean oauth1?)`},
		"no signature":            {tokenless(asUser + "\ncc_oauth_signature = \"hmac-sha1\""), `f:18: cc_oauth_signature: found "hmac-sha1", want one of: plaintext, hmac-sha512 (did you mean hmac-sha512?)`},
		"nothing for oauth1":      {tokenless(`cc_auth = "oauth1"`), "f:6: cc_consumer_key: missing; cc_auth = \"oauth1\" needs it\nf:6: cc_consumer_secret: missing; cc_auth = \"oauth1\" needs it\n" + "f:6: cc_token: missing; set cc_oauth_token and cc_oauth_secret, or cc_token to both with a colon between"},
		"half a consumer":         {tokenless(strings.Replace(asUser, "cc_consumer_secret", "#", 1)), `f:6: cc_consumer_secret: missing; cc_auth = "oauth1" needs it`},
		"half a user":             {tokenless(strings.Replace(asUser, "cc_oauth_secret", "#", 1)), "f:6: cc_oauth_secret: missing; cc_oauth_token needs it"},
		"the other half":          {above(strings.Replace(asUser, "cc_oauth_token", "#", 1)), "f:6: cc_oauth_token: missing; cc_oauth_secret needs it\nf:12: cc_token: found no colon within; with cc_auth = \"oauth1\" it is a user's OAuth token, a colon and its secret"},
		"two credentials":         {above(asUser), "f:12: cc_token: has no effect: cc_oauth_token is the credential; remove one of them"},
		"two, one in a file":      {instead(above(asUser), `cc_token = "c"`, `cc_token_file = "c"`), "f:12: cc_token_file: has no effect: cc_oauth_token is the credential; remove one of them"},
		"no pair":                 {instead(above(asOAuth), `cc_token = "c"`, `cc_token = ":canary"`), "f:12: cc_token: found no colon within; with cc_auth = \"oauth1\" it is a user's OAuth token, a colon and its secret"},
		"a token is still needed": {tokenless(`cc_auth = "bearer"`), "f:6: cc_token: missing; set it, or cc_token_file to the path of a file that holds it"},
		"oauth1 is not said": {above("cc_consumer_key = \"k\"\ncc_consumer_secret_file = \"s\"\ncc_oauth_token = \"canary\"\ncc_oauth_secret = \"canary\"\ncc_oauth_signature = \"plaintext\""),
			`f:14: cc_consumer_secret_file: open s: file does not exist`},
		"all for oauth1 with bearer": {above("cc_auth = \"bearer\"\ncc_consumer_key = \"k\"\ncc_consumer_secret = \"canary\"\ncc_oauth_token = \"canary\"\ncc_oauth_secret = \"canary\"\ncc_oauth_signature = \"plaintext\""),
			strings.Join([]string{noEffect(14, "cc_consumer_key", "bearer"), noEffect(15, "cc_consumer_secret", "bearer"), noEffect(16, "cc_oauth_token", "bearer"), noEffect(17, "cc_oauth_secret", "bearer"), noEffect(18, "cc_oauth_signature", "bearer")}, "\n")},
		"one for oauth1":        {above(`cc_oauth_secret = "canary"`), noEffect(13, "cc_oauth_secret", "token")},
		"half of git":           {above(`cc_git_password = "canary"`), "f:6: cc_git_user: missing; cc_git_password needs it"},
		"other half of git":     {above(`cc_git_user = "g"`), "f:6: cc_git_password: missing; cc_git_user needs it"},
		"two users for git":     {above("cc_git_user = \"g\"\ncc_git_password = \"canary\"\ncc_auth_user = \"h\""), "f:15: cc_auth_user: has no effect: cc_git_user is the user for deployment repositories; remove one of them"},
		"bridge without git":    {above(asBridge), "f:6: cc_git_password: missing; API tokens cannot push to deployment repositories; set cc_git_user and cc_git_password to what can"},
		"bridge without bearer": {above(strings.Replace(asBridge, "bearer", "token", 1)), `f:13: cc_auth: found "token", want "bearer": api-bridge.clever-cloud.com takes API tokens only`},
		"empty ones":            {tokenless(strings.NewReplacer(`"t"`, `""`, `"k"`, `" "`).Replace(asUser)), "f:14: cc_consumer_key: empty; set it, or remove it\nf:16: cc_oauth_token: empty; set it, or remove it\nf:6: cc_token: missing"},
		"a blank in a secret":   {tokenless(strings.Replace(asUser, `"u"`, `"canary canary"`, 1)), "f:17: cc_oauth_secret: holds white space or a character that can't be printed"},
	} {
		_, err := read(c.text)
		if err == nil {
			t.Errorf("%s: nothing is wrong", name)
			continue
		}
		for want := range strings.SplitSeq(c.want, "\n") {
			if !strings.Contains(err.Error()+"\n", want) {
				t.Errorf("%s: got\n%v\nwant\n%s", name, err, want)
			}
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: shows a secret: %v", name, err)
		}
		if !strings.HasPrefix(name, "empty") && !strings.Contains(name, "file") && strings.Count(err.Error(), "\n") != strings.Count(c.want, "\n") {
			t.Errorf("%s: got\n%v\nwant\n%s", name, err, c.want)
		}
	}
}

// A runner that acts as one user for all needs to know whom for, and nothing more.
func TestUnconnected(t *testing.T) {
	t.Parallel()
	many := "\ncc_multi_tenant = true\ncc_gitlab_namespace_attributes_token = \"n\"\ncc_orga_token_attribute = \"key\""
	of := func(id, key string) map[string]secret.String {
		return map[string]secret.String{"cc_orga_id": secret.New(id), "key": secret.New(key), "else": secret.New("e")}
	}
	const no = "has no attribute "
	const wrong = "has an attribute cc_orga_id that is no id of an organisation (orga_...)"
	for _, c := range []struct {
		lines      string
		attributes map[string]secret.String
		want       string
	}{
		{asOAuth, nil, no + "cc_orga_id and key"},
		{asOAuth, of("", "k"), no + "cc_orga_id"},
		{asOAuth, of("orga_x", ""), no + "key"},
		{asOAuth, of("orga_07cf2ef0-c9ad-4f04-b492-94c164f95c76", "k"), ""},
		{asOAuth, of("user_x", "k"), ""},
		{asUser, nil, no + "cc_orga_id"},
		{asUser, map[string]secret.String{"cc_orga_id": secret.New("orga_x")}, ""},
		{asUser, of("orga_x", "k"), ""},
		{asOAuth, of("CANARY-token", "orga_x"), wrong}, // mixed up
		{asOAuth, of("some-organisation", "k"), ""},    // the form of ids is the platform's to know
		{asOAuth, of("orga_x/../y", "k"), wrong},
		{asOAuth, of("orga_x\x1b[31m", "k"), wrong},
		{asUser, of("orga_x ", ""), wrong},
	} {
		if got := mustRead(t, tokenless(c.lines+many)).Runners[0].Clever.Unconnected(c.attributes); got != c.want {
			t.Errorf("%s with %v: %q, want %q", c.lines, c.attributes, got, c.want)
		}
	}
}
