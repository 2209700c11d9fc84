package config

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

// Shown returns the file as it was read, for people: environment variables by their names,
// and without what may be a secret; "" if the defaults are in force.
func (c *Config) Shown() string {
	text := inURL.ReplaceAllString(c.text, "${1}"+hidden+"@")
	text = inQuery.ReplaceAllString(text, "${1}"+hidden)
	return named.ReplaceAllString(text, "${1}"+hidden)
}
