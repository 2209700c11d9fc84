package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
)

const credentialsConfig = `
users: {file: %[1]s/credential-users.jsonl}
credentials: {basic: true}
jwt: [{issuer: bench, algorithms: [RS256, ES256, EdDSA], jwks_file: %[1]s/jwks.json}]
introspection: [{url: "%[2]s", cache_ttl: 1h, timeout: 5s}]
`

// tinyCache makes a server verify almost every token again: each of the cache's
// 64 shards holds one.
const tinyCache = "cache: {size: 1}\n"

// credentials compares the processor time of a check by kind of credential with
// that by API key, and that of a token never seen before with the bare
// verification of its signature.
func (b *bench) credentials() error {
	signers, err := credential.NewSigners()
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
	uncached, err := startPinned(b, "uncached", more+tinyCache)
	if err != nil {
		return err
	}
	defer uncached.close()
	for _, kind := range kinds[1:] {
		if err := b.compareKinds(known, kind, kinds[0]); err != nil {
			return err
		}
	}
	for _, s := range signers {
		if err := b.compareUncached(uncached, known, s, kinds[0]); err != nil {
			return err
		}
	}
	return nil
}

// pinned is a server on one core, with a client.
type pinned struct {
	*process.Child
	client *loadgen.Client
}

func startPinned(b *bench, name, more string) (*pinned, error) {
	c, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, name), KeyFile: b.small.Path, Procs: 1, More: more})
	if err != nil {
		return nil, err
	}
	cl, err := loadgen.Dial(c.Socket, 4)
	return &pinned{c, cl}, err
}

func (p *pinned) close() {
	p.client.Close()
	_ = p.Stop()
}

// warm checks every credential once, and repeats a password until its hash is
// computed.
func (p *pinned) warm(kinds []credential.Kind) error {
	for _, kind := range kinds {
		for _, each := range kind.Values {
			for tries := 0; ; tries++ {
				ok, err := p.client.Allowed(context.Background(), 0, each)
				if err != nil || !ok && tries == 100 {
					return errors.Join(fmt.Errorf("%s is denied", kind.Name), err)
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

// prepareCredentials makes credentials of each kind, API keys first, and the
// files and server that are needed to verify them.
func (b *bench) prepareCredentials(signers []*credential.Signer) ([]credential.Kind, *httptest.Server, error) {
	keys := credential.Kind{Name: "API key"}
	for _, secret := range b.small.Secrets {
		keys.Values = append(keys.Values, "Bearer "+secret)
	}
	passwords, err := credential.NewPasswords(b.dir)
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "jwks.json"), credential.JWKS(signers), 0o600); err != nil {
		return nil, nil, err
	}
	opaque := credential.Kind{Name: "introspected token"}
	for range credential.TokensOfAKind {
		opaque.Values = append(opaque.Values, "Bearer "+rand.Text()+rand.Text())
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"active":true,"sub":"load-test","scope":"items:read items:write"}`))
	}))
	jwts := credential.Kind{Name: "JWT", Values: signers[1].Tokens}
	return []credential.Kind{keys, passwords, jwts, opaque}, server, nil
}

// saturation returns a load of random credentials of a kind.
func saturation(kind credential.Kind, span time.Duration) loadgen.Load {
	return loadgen.Load{Workers: 128, Span: span, Pick: credential.AnyOf(kind.Values)}
}

// compareKinds measures cached credentials of two kinds.
func (b *bench) compareKinds(p *pinned, kind, keys credential.Kind) error {
	var ratios, costs []float64
	for range b.rounds {
		key, err := perCheck(p.Child, p.client, saturation(keys, b.span))
		if err != nil {
			return err
		}
		other, err := perCheck(p.Child, p.client, saturation(kind, b.span))
		if err != nil {
			return err
		}
		ratios, costs = append(ratios, other/key), append(costs, other)
	}
	b.row("server CPU per check, %s in the cache (µs)", kind.Name, fmt.Sprintf("%.1f", median(costs)))
	b.row("ratio to an API key (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}

// compareUncached measures tokens that have to be verified, against the bare
// verification of the same signatures and a check by API key.
func (b *bench) compareUncached(uncached, known *pinned, s *credential.Signer, keys credential.Kind) error {
	tokens := credential.Kind{Name: s.Algorithm(), Values: s.Tokens}
	var ratios, costs, bare []float64
	for range b.rounds {
		key, err := perCheck(known.Child, known.client, saturation(keys, b.span))
		if err != nil {
			return err
		}
		// The client keeps the other core busy, as it does when the server is
		// measured.
		var verification float64
		measured := saturation(tokens, b.span)
		done := make(chan error, 1)
		go func() { v, err := s.BareVerification(b.span); verification = v; done <- err }()
		if _, err := known.client.Run(context.Background(), saturation(keys, b.span)); err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
		check, err := perCheck(uncached.Child, uncached.client, measured)
		if err != nil {
			return err
		}
		costs, bare = append(costs, check), append(bare, verification)
		ratios = append(ratios, check/(verification+key))
	}
	b.row("server CPU per check, %s token seen for the first time (µs)", tokens.Name, fmt.Sprintf("%.1f", median(costs)))
	b.row("verification of the signature alone (µs)", fmt.Sprintf("%.1f", median(bare)))
	b.row("ratio to that plus an API key (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	return nil
}
