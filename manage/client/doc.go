// Package client calls the management API of a running Keyward, as the commands do
// with --server. It sends the token of its caller to the configured server alone: it
// follows no redirect, and speaks HTTP without TLS to loopback addresses only.
//
// An error is a [fault.Error] where the server refuses, with the store's error as its
// cause where a file would give one. No error has the token, or a key that was sent.
package client
