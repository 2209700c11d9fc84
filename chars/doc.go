// Package chars has the sets of characters that texts are limited to, each under
// one name: the byte sets of grammars, a line, plain text, a claim, hidden
// characters. It reports what a text contains. It changes a text only to escape
// hidden characters, or to fold the case of ASCII letters.
package chars
