package gatekeeper

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

func FuzzParseKeys_AnyDocumentIsReadOrRefused(f *testing.F) {
	for _, s := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"RSA"}]}`, `{"keys":null}`, `[]`, ``, `{"keys":[{"kty":"OKP","crv":"X25519","kid":"1"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, err := parseKeys(document)
		if err == nil && (len(keys) == 0 || len(keys) > maxKeys) {
			t.Fatalf("%d keys", len(keys))
		}
		for name, key := range keys {
			if len(key) != ed25519.PublicKeySize || name == "" || len(name) > maxKeyName {
				t.Fatalf("%q: %d bytes", name, len(key))
			}
		}
	})
}

func FuzzTakePass_LeavesASafeAddressWithoutIt(f *testing.F) {
	for _, s := range []string{"/?fg_pass=x", "/a?b=1&fg_pass=x&c", "//evil?fg_pass=", "?fg_pass=1", "/a?xfg_pass=1", "/?fg_pass=1&fg_pass=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		clean, _, found := takePass(uri)
		if found && (!Safe(clean) || strings.Contains(clean, "?fg_pass=") || strings.Contains(clean, "&fg_pass=")) {
			t.Fatalf("%q became %q", uri, clean)
		}
		if !found && clean != uri {
			t.Fatalf("%q was changed to %q", uri, clean)
		}
	})
}
