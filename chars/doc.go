// Package chars has the sets of characters that texts are limited to, each under
// one name: a line, plain text, a claim, what does not show. It says what a text
// has, and never changes it, except to escape what does not show.
package chars
