// Package issuers has the commands about the issuer of tokens, `keyward issuer`: the keys with
// which it signs.
package issuers
