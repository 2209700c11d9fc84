package oauthclients

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"keyward/internal/browser"
)

// useOAuth2 is golang.org/x/oauth2 with github.com/coreos/go-oidc. The former finds out by
// itself how the server wants the secret, unless the method says it.
func useOAuth2(t *testing.T, s *server, tab *browser.Tab, method string) {
	ctx, is := t.Context(), s.setup(method)
	provider, err := oidc.NewProvider(ctx, is.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	if method == "client_secret_post" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	config := oauth2.Config{ClientID: is.Client, ClientSecret: is.Secret, RedirectURL: is.Redirect, Endpoint: endpoint, Scopes: []string{oidc.ScopeOpenID, "items:read"}}
	verifier := oauth2.GenerateVerifier()
	arrived, err := url.Parse(s.visit(tab, config.AuthCodeURL("the state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("the nonce"))))
	if err != nil || arrived.Query().Get("state") != "the state" {
		t.Fatalf("%v: %s", err, arrived)
	}
	first, err := config.Exchange(ctx, arrived.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := first.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: is.Client}).Verify(ctx, raw)
	if err != nil || id.Subject != alice || id.Nonce != "the nonce" {
		t.Fatalf("the ID token: %v: %+v", err, id)
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(first.AccessToken) != nil {
		t.Error("the ID token is of another access token")
	}
	info, err := provider.UserInfo(ctx, config.TokenSource(ctx, first))
	if err != nil || info.Subject != alice {
		t.Fatalf("userinfo: %v: %+v", err, info)
	}
	late := *first
	late.Expiry = time.Now().Add(-time.Second)
	source := config.TokenSource(ctx, &late)
	second, err := source.Token()
	if err != nil || second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Fatalf("the refresh: %v", err)
	}
	s.wantAPI(t, config.Client(ctx, second))
	if method != "none" {
		own := clientcredentials.Config{ClientID: is.Client, ClientSecret: is.Secret, TokenURL: endpoint.TokenURL, Scopes: []string{"items:read"}, AuthStyle: endpoint.AuthStyle}
		if _, err := own.Token(ctx); err != nil {
			t.Fatal(err)
		}
		s.wantAPI(t, own.Client(ctx))
	}
}

// wantAPI fails the test unless the API answers to the client, if it accepts tokens of the
// server.
func (s *server) wantAPI(t *testing.T, client *http.Client) {
	t.Helper()
	if s.api == "" {
		return
	}
	answer, err := client.Get(s.api)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the API: %s", answer.Status)
	}
}
