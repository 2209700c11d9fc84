// Package oidclogin tests the console's login with an OpenID provider as a person does it:
// in a real Chromium, with the provider node-oidc-provider, which is certified by the
// OpenID Foundation.
package oidclogin
