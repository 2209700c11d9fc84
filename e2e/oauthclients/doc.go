// Package oauthclients tests the issuer with OAuth clients that others have written, each as
// its users have it: openid-client (JavaScript), Authlib (Python), x/oauth2 with go-oidc (Go),
// and Envoy's filters oauth2 and jwt_authn. A real Chromium goes through the pages. The same
// scripts run against node-oidc-provider, which the OpenID Foundation has certified, so that a
// script cannot hold Keyward to its own habits.
package oauthclients
