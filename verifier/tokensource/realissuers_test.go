package tokensource_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"keyward/verifier/tokensource"
)

// newIssuer returns a server with metadata and a key set. In the metadata
// ISSUER stands for the server's URL, and KEYS for that of another host.
func newIssuer(t *testing.T, path string, metadata, keys http.HandlerFunc) string {
	t.Helper()
	elsewhere := newFaultServer(t)
	elsewhere.set(keys)
	issuer := newFaultServer(t)
	replace := strings.NewReplacer("ISSUER", issuer.url(), "KEYS", strings.Replace(elsewhere.url(), "127.0.0.1", "localhost", 1))
	issuer.set(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == path+"/.well-known/openid-configuration", r.URL.Path == "/moved", strings.HasPrefix(r.URL.Path, "/again"):
			metadata(&replacingWriter{w, replace}, r)
		case r.URL.Path == "/keys":
			keys(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	return issuer.url()
}

type replacingWriter struct {
	http.ResponseWriter
	replace *strings.Replacer
}

func (w *replacingWriter) Write(text []byte) (int, error) {
	_, err := w.replace.WriteString(w.ResponseWriter, string(text))
	return len(text), err
}

func respondAs(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		respond(body)(w, r)
	}
}

// zipped answers as servers do that compress what a client can decompress.
func zipped(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			respond(body)(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
	}
}

// moved redirects the metadata's first path to another one.
func moved(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(w, r, "/moved", status)
			return
		}
		respond(body)(w, r)
	}
}

// TestDocumentsOfIssuers checks how issuers publish their keys: what is read,
// and for the rest that the error says what to do.
func TestDocumentsOfIssuers(t *testing.T) {
	keys := jwkSet(jwk(t, "k"))
	good := respond(keys)
	const metadata = `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`
	for _, c := range []struct {
		name, issuer, path string // the issuer as configured, after the server's URL; the path of its metadata
		document, keys     http.HandlerFunc
		want               string // in the error; "" is none
	}{
		{"Google: the keys are on another host", "", "", respond(`{"issuer":"ISSUER","jwks_uri":"KEYS/oauth2/v3/certs"}`), good, ""},
		{"Auth0: a slash at the end", "/", "", respond(`{"issuer":"ISSUER/","jwks_uri":"ISSUER/keys"}`), good, ""},
		{"Auth0, configured without it", "", "", respond(`{"issuer":"ISSUER/","jwks_uri":"ISSUER/keys"}`), good, "one of them has a slash at its end; configure the issuer as its tokens have it (iss)"},
		{"Keycloak, configured with a slash", "/realms/shop/", "/realms/shop", respond(`{"issuer":"ISSUER/realms/shop","jwks_uri":"ISSUER/keys"}`), good, "one of them has a slash at its end"},
		{"Keycloak behind a proxy that it does not know", "", "", respond(`{"issuer":"http://keycloak:8080/realms/shop","jwks_uri":"ISSUER/keys"}`), good, "configure the issuer as its tokens have it (iss), and jwks_url if its metadata is elsewhere"},
		{"Oracle IDCS: one issuer for all tenants", "", "", respond(`{"issuer":"https://identity.oraclecloud.com/","jwks_uri":"ISSUER/keys"}`), good, "and jwks_url if its metadata is elsewhere"},
		{"Entra: a tenant", "/0a1b/v2.0", "/0a1b/v2.0", respond(`{"issuer":"ISSUER/0a1b/v2.0","jwks_uri":"ISSUER/keys"}`), good, ""},
		{"Entra: common", "/common/v2.0", "/common/v2.0", respond(`{"issuer":"ISSUER/{tenantid}/v2.0","jwks_uri":"ISSUER/keys"}`), good, "configure each tenant's own issuer"},
		{"Entra B2C: the metadata is elsewhere", "/0a1b/v2.0/", "/0a1b/policy/v2.0", respond(`{"issuer":"ISSUER/0a1b/v2.0/","jwks_uri":"ISSUER/keys"}`), good, "status 404: if the issuer has no metadata at this URL, set jwks_url"},
		{"Kubernetes without the role for it", "", "", respondStatus(403), good, "status 403: the issuer must let Keyward read it without a credential"},
		{"Kubernetes, keys without the role for them", "", "", respond(metadata), respondStatus(401), "status 401: the issuer must let Keyward read it without a credential"},
		{"another content type", "", "", respondAs("text/metadata", metadata), respondAs("application/octet-stream", keys), ""},
		{"jwk-set+json", "", "", respondAs("application/json; charset=utf-8", metadata), respondAs("application/jwk-set+json", keys), ""},
		{"gzip", "", "", respond(metadata), zipped(keys), ""},
		{"a byte order mark", "", "", respond("\ufeff" + metadata), respond("\ufeff" + keys), ""},
		{"line breaks behind it", "", "", respond(metadata + "\r\n\r\n"), respond("\n" + keys + "\n"), ""},
		{"something behind it", "", "", respond(metadata), respond(keys + "<!-- 12 ms -->"), "something follows the JSON object"},
		{"members that are not known", "", "", respond(`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","claims_supported":["sub"],"x":{"y":[null]}}`), good, ""},
		{"a redirect, 301", "", "", moved(301, metadata), good, ""},
		{"a redirect, 308", "", "", moved(308, metadata), good, ""},
		{"a redirect without end", "", "", redirectLoop, good, "too many redirects: configure the URL where they lead"},
		{"a login page", "", "", respondAs("text/html", "<!doctype html><title>Sign in</title>"), good, "a page of HTML: the URL leads to a login or an error page"},
		{"a login page for the keys", "", "", respond(metadata), respondAs("text/html", "<html>"), "a page of HTML: the URL leads to a login or an error page"},
		{"no issuer", "", "", respond(`{"jwks_uri":"ISSUER/keys"}`), good, "it names no issuer"},
		{"no keys", "", "", respond(`{"issuer":"ISSUER"}`), good, "it has no jwks_uri"},
		{"a relative jwks_uri", "", "", respond(`{"issuer":"ISSUER","jwks_uri":"/keys"}`), good, "jwks_uri: it must be an absolute URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer := newIssuer(t, c.path, c.document, c.keys) + c.issuer
			r := newRemote(t, tokensource.RemoteConfig{Issuer: issuer, Wait: slack})
			_, err := find(r, "k")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "keycloak:8080") {
				t.Errorf("the error quotes the document: %v", err)
			}
		})
	}
}

// TestRedirectedKeySet checks that a key set is read through a redirect to
// another host too.
func TestRedirectedKeySet(t *testing.T) {
	elsewhere, m := newFaultServer(t), newFaultServer(t)
	elsewhere.set(respond(jwkSet(jwk(t, "k"))))
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			m.set(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.url(), status) })
			r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Wait: slack})
			if _, err := find(r, "k"); err != nil {
				t.Error(err)
			}
		})
	}
}
