package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"keyward/authz"
	"keyward/keystore"
)

const credentialsConfig = `
users: {file: %[1]s/credential-users.jsonl}
credentials: {basic: true}
jwt: [{issuer: bench, algorithms: [RS256, ES256, EdDSA], jwks_file: %[1]s/jwks.json}]
introspection: [{url: "%[2]s", cache_ttl: 1h, timeout: 5s}]
`

// tinyCache has a server verify nearly every token anew: it remembers one in
// each of the cache's 64 parts.
const tinyCache = "cache: {size: 1}\n"

const (
	tokensOfAKind  = 2000
	knownPasswords = 20 // each has to be hashed once
)

// credentials compares the processor time of a check by kind of credential
// with that by API key, and of a token never seen before with the bare
// verification of its signature.
func (b *bench) credentials() error {
	signers, err := newSigners()
	if err != nil {
		return err
	}
	kinds, server, err := b.prepareCredentials(signers)
	if err != nil {
		return err
	}
	defer server.Close()
	more := fmt.Sprintf(credentialsConfig, b.dir, server.URL)
	known, err := startPinned(b, "known", more)
	if err != nil {
		return err
	}
	defer known.close()
	if err := known.warm(kinds); err != nil {
		return err
	}
	anew, err := startPinned(b, "anew", more+tinyCache)
	if err != nil {
		return err
	}
	defer anew.close()
	for _, kind := range kinds[1:] {
		if err := b.compareKinds(known, kind, kinds[0]); err != nil {
			return err
		}
	}
	for _, s := range signers {
		if err := b.compareAnew(anew, known, s, kinds[0]); err != nil {
			return err
		}
	}
	return nil
}

// pinned is a server on one core with a client.
type pinned struct {
	*child
	client *client
}

func startPinned(b *bench, name, more string) (*pinned, error) {
	c, err := startChildWith(b.binary, filepath.Join(b.dir, name), b.small, 1, more)
	if err != nil {
		return nil, err
	}
	cl, err := dial(c, 4)
	return &pinned{c, cl}, err
}

func (p *pinned) close() {
	p.client.close()
	_ = p.stop()
}

// warm has every credential asked about once, and a password until its hash is there.
func (p *pinned) warm(kinds []kindOfCredential) error {
	for _, kind := range kinds {
		for _, each := range kind.all {
			for tries := 0; ; tries++ {
				ok, err := p.client.allowed(context.Background(), 0, each)
				if err != nil || !ok && tries == 100 {
					return errors.Join(fmt.Errorf("%s is denied", kind.name), err)
				}
				if ok {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return nil
}

// kindOfCredential is a number of Authorization headers that are good.
type kindOfCredential struct {
	name string
	all  []string
}

func (k *kindOfCredential) load(span time.Duration) load {
	return load{workers: 128, span: span, pick: anyOf(k.all)}
}

// prepareCredentials makes credentials of each kind, API keys first, and what a server needs to know them.
func (b *bench) prepareCredentials(signers []*signer) ([]kindOfCredential, *httptest.Server, error) {
	keys := kindOfCredential{name: "API key"}
	for _, secret := range b.small.secrets {
		keys.all = append(keys.all, "Bearer "+secret)
	}
	passwords, err := b.makePasswords()
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "jwks.json"), keySet(signers), 0o600); err != nil {
		return nil, nil, err
	}
	opaque := kindOfCredential{name: "introspected token"}
	for range tokensOfAKind {
		opaque.all = append(opaque.all, "Bearer "+rand.Text()+rand.Text())
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"active":true,"sub":"load-test","scope":"items:read items:write"}`))
	}))
	jwts := kindOfCredential{"JWT", signers[1].tokens}
	return []kindOfCredential{keys, passwords, jwts, opaque}, server, nil
}

// makePasswords makes a users file with the passwords' users, and the keys'.
func (b *bench) makePasswords() (kindOfCredential, error) {
	passwords := kindOfCredential{name: "password"}
	users := keystore.NewUserFile(keystore.UserFileConfig{Path: filepath.Join(b.dir, "credential-users.jsonl")})
	for i := range knownPasswords {
		name, password := fmt.Sprint("user", i), authz.NewSecret("correct horse battery staple")
		if _, err := users.SetUser(name, keystore.UserPatch{Password: &password, Scopes: &[]string{"items:read", "items:write"}}); err != nil {
			return passwords, err
		}
		passwords.all = append(passwords.all, "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password.Reveal())))
	}
	_, err := users.SetUser("load-test", keystore.UserPatch{})
	return passwords, err
}

// compareKinds measures two kinds of credential that are in the cache.
func (b *bench) compareKinds(p *pinned, kind, keys kindOfCredential) error {
	var ratios, costs []float64
	for range b.rounds {
		key, err := perCheck(p.child, p.client, keys.load(b.span))
		if err != nil {
			return err
		}
		other, err := perCheck(p.child, p.client, kind.load(b.span))
		if err != nil {
			return err
		}
		ratios, costs = append(ratios, other/key), append(costs, other)
	}
	b.row("server CPU per check, %s in the cache (µs)", kind.name, fmt.Sprintf("%.1f", median(costs)))
	b.row("ratio to an API key (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}

// compareAnew measures tokens that have to be verified, against the bare
// verification of the same signatures and a check by API key.
func (b *bench) compareAnew(anew, known *pinned, s *signer, keys kindOfCredential) error {
	tokens := kindOfCredential{s.method.Alg(), s.tokens}
	var ratios, costs, bare []float64
	for range b.rounds {
		key, err := perCheck(known.child, known.client, keys.load(b.span))
		if err != nil {
			return err
		}
		// The client keeps the other core busy, as it does while the server is measured.
		var verification float64
		measured := tokens.load(b.span)
		done := make(chan error, 1)
		go func() { v, err := s.bareVerification(b.span); verification = v; done <- err }()
		if _, err := known.client.run(context.Background(), keys.load(b.span)); err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
		check, err := perCheck(anew.child, anew.client, measured)
		if err != nil {
			return err
		}
		costs, bare = append(costs, check), append(bare, verification)
		ratios = append(ratios, check/(verification+key))
	}
	b.row("server CPU per check, %s token seen for the first time (µs)", tokens.name, fmt.Sprintf("%.1f", median(costs)))
	b.row("verification of the signature alone (µs)", fmt.Sprintf("%.1f", median(bare)))
	b.row("ratio to that plus an API key (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}
