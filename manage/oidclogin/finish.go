package oidclogin

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"keyward/authz"
	"keyward/manage/access"
)

// maxCode bounds the code that a provider gives, in bytes.
const maxCode = 4096

// Result is a login that was finished.
type Result struct {
	access.Identity
	// Options are those that the login was begun with.
	Options
}

// Finish returns who the provider says has logged in. query is that of the callback, to
// which the provider has sent the browser, and cookie the one that it presents. A login
// is finished once.
//
// The error is one of this package, or that of Config.MarkUsed.
func (p *Provider) Finish(ctx context.Context, query url.Values, cookie authz.Secret) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	l, answer, err := p.begun(query, cookie)
	if err != nil {
		return Result{}, err
	}
	m, err := p.discover(ctx)
	if err == nil {
		err = answer.check(m, p.cfg.Issuer)
	}
	if err != nil {
		return Result{}, err
	}
	identity, err := p.redeem(ctx, m, l, answer.code)
	if err != nil {
		return Result{}, err
	}
	// Only what a provider has vouched for leaves a mark: a stranger fills no table.
	first, err := p.cfg.MarkUsed(ctx, l.id(), l.begun.Add(CookieAge+2*leeway))
	switch {
	case err != nil:
		return Result{}, fmt.Errorf("marking a login as used: %w", err)
	case !first:
		return Result{}, fmt.Errorf("%w: it is used", ErrExpired)
	}
	return Result{identity, l.Options}, nil
}

// Began returns nil if the answer of the provider is one to a login that the browser has
// begun, in time: what a stranger can have a browser of another person send is not. It
// asks the provider for nothing.
func (p *Provider) Began(query url.Values, cookie authz.Secret) error {
	_, _, err := p.begun(query, cookie)
	return err
}

// begun returns the login that the browser has begun, and the answer to it.
func (p *Provider) begun(query url.Values, cookie authz.Secret) (*login, answer, error) {
	l, err := readLogin(cookie)
	if err == nil && !l.inTime(p.cfg.Now()) {
		err = fmt.Errorf("%w: it took too long", ErrExpired)
	}
	var a answer
	if err == nil {
		a, err = readAnswer(query)
	}
	// Nothing else of the answer counts before this: another site can send a browser here.
	if err == nil && !hmac.Equal([]byte(a.state), []byte(l.state())) {
		err = fmt.Errorf("%w: the state is that of another login", ErrExpired)
	}
	return l, a, err
}

// answer is what the provider sends the browser back with (RFC 6749 section 4.1.2, RFC
// 9207 section 2).
type answer struct {
	state, code, failure string
	issuer               []string // none: it is not named
}

// readAnswer refuses parameters that are there twice, which two programs could read
// differently (RFC 6749 section 3.1).
func readAnswer(query url.Values) (answer, error) {
	for _, name := range []string{"state", "code", "error", "iss"} {
		if len(query[name]) > 1 {
			return answer{}, refused("the parameter %s is there twice", name)
		}
	}
	a := answer{state: query.Get("state"), code: query.Get("code"), failure: query.Get("error"), issuer: query["iss"]}
	if len(a.code) > maxCode {
		return answer{}, refused("the code is longer than %d bytes", maxCode)
	}
	return a, nil
}

// check refuses an answer that is not from the issuer, or that has no code. What another
// provider says is not asked about at this one (mix-up).
func (a *answer) check(m *metadata, issuer string) error {
	switch {
	case len(a.issuer) == 0 && m.namesIssuer:
		return refused("the answer does not name its issuer")
	case len(a.issuer) > 0 && a.issuer[0] != issuer:
		return refused("the answer is that of another issuer")
	case a.failure != "" && a.code != "":
		return refused("the answer has a code and an error")
	case a.failure != "":
		return answerError(a.failure)
	case a.code == "":
		return refused("the answer has no code")
	}
	return nil
}

// redeem exchanges the code for an ID token, and verifies it.
func (p *Provider) redeem(ctx context.Context, m *metadata, l *login, code string) (access.Identity, error) {
	tokens, err := m.oauth.Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(l.codeVerifier()))
	if err != nil {
		return access.Identity{}, tokenError(err)
	}
	text, _ := tokens.Extra("id_token").(string)
	claims, err := p.verify(ctx, m, text)
	if err == nil {
		err = claims.check(l, p.cfg.ClientID, p.cfg.Issuer, p.cfg.Now())
	}
	if err != nil {
		return access.Identity{}, err
	}
	return p.identity(ctx, m, claims, tokens.AccessToken)
}

// algorithms are those of public keys. The client's secret signs nothing, whatever the
// provider says that it supports.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// verify returns the claims of an ID token that the provider has signed for this client
// and that has not expired.
func (p *Provider) verify(ctx context.Context, m *metadata, text string) (claims, error) {
	if text == "" {
		return nil, refused("the token endpoint gave no ID token")
	}
	keys := &keySet{RemoteKeySet: m.keys}
	verifier := oidc.NewVerifier(p.cfg.Issuer, keys, &oidc.Config{ClientID: p.cfg.ClientID, SupportedSigningAlgs: algorithms, Now: p.cfg.Now})
	token, err := verifier.Verify(ctx, text)
	if err == nil {
		return readClaims(token)
	}
	if _, unreachable := errors.AsType[*transportError](keys.err); unreachable || ctx.Err() != nil {
		return nil, requestError("the key set", keys.err)
	}
	if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
		return nil, refused("the ID token has expired")
	}
	// The library's text can have what the provider sent.
	return nil, refused("the ID token is not one for this client, or its signature is not valid")
}

// keySet remembers why the provider's keys did not verify a token: the verifier's error
// is text alone.
type keySet struct {
	*oidc.RemoteKeySet
	err error
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.RemoteKeySet.VerifySignature(ctx, jwt)
	k.err = err
	return payload, err
}

// provedAt is when the person proved to the provider who they are; zero if it is not
// known.
func (c claims) provedAt() time.Time {
	at, _ := c.time("auth_time")
	return at
}
