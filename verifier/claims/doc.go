// Package claims reads the claims of a token: where a claim is, and what its
// value means as a name, a time, scopes, or under a condition of the operator. It
// also has the form in which types of tokens are compared.
// It does not decide whether a token is valid, and it quotes no value.
package claims
