// Package oidclogin is how a person proves to be someone by an OpenID provider: the
// authorization code flow of OpenID Connect Core 1.0 with PKCE (RFC 7636), a nonce and
// the issuer's name in the answer (RFC 9207). It returns the identity that the provider
// vouches for, and knows nothing of users and sessions.
//
// What a login has to remember is in the browser's cookie alone. The state, the nonce
// and the PKCE verifier of the request are HMACs of the cookie under a random number in
// it. So an answer counts for the browser that asked, and a cookie that was changed
// has another nonce than the ID token. Keyward keeps no key for it, every machine can
// finish what another has begun, and a stranger who begins logins fills no table. That a
// cookie was used is remembered until it expires.
package oidclogin
