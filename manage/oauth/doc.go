// Package oauth is Keyward's issuer: what a login grants, and the tokens that come of it. A
// grant is a family: its refresh tokens, of which each replaces the one before, and the access
// tokens that were signed for them, which have the grant's id as their sid.
//
// The package holds no protocol: loginapi answers the requests of a login endpoint.
package oauth
