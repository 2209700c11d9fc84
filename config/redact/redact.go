// Package redact leaves out of a configuration file what may be a secret, so that people
// can be shown the rest.
package redact

import "regexp"

// What may be a secret in the text of a file, although settings name files of secrets: the
// user and password of a URL, a parameter of its query, and what a comment calls a password.
var (
	inURL   = regexp.MustCompile(`(://)[^\s"'/]*@`)
	inQuery = regexp.MustCompile(`([?&][\w-]*(?:[Pp]assword|[Ss]ecret|[Tt]oken|[Kk]ey)[\w-]*=)[^&\s"'#]+`)
	named   = regexp.MustCompile(`((?:[Pp]assword|PASSWORD|[Pp]asswd|[Ss]ecret|SECRET)["']?\s*[:=]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s,}&]+)`)
)

// hidden stands for what is left out.
const hidden = "…"

// Text returns the text without what may be a secret.
func Text(text string) string {
	text = inURL.ReplaceAllString(text, "${1}"+hidden+"@")
	text = inQuery.ReplaceAllString(text, "${1}"+hidden)
	return named.ReplaceAllString(text, "${1}"+hidden)
}
