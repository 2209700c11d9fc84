package extauthz

import "strings"

// Overrides are the headers that every allow has the proxy remove, in the forms
// in which proxies are told. They are the same each time, and encoded once. The
// zero Overrides are none.
type Overrides struct {
	wire []byte // headers_to_remove of an OkHttpResponse
	list string // separated by commas
}

// NewOverrides returns the overrides of the given names, in lower case.
func NewOverrides(names []string) Overrides {
	var w wireWriter
	for _, name := range names {
		w.text(okHeadersToRemove, name)
	}
	return Overrides{w.bytes, strings.Join(names, ",")}
}
