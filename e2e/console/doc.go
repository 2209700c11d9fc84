// Package console tests the console as people use it: in a real Chromium, by clicks, with
// scripts and without, beside the real Envoy. It has only tests.
package console
