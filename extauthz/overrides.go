package extauthz

import "strings"

// Overrides are the headers that the proxy removes on every allow, encoded once
// in the forms that responses have. The zero Overrides removes none.
type Overrides struct {
	names []string
	wire  []byte // headers_to_remove of an OkHttpResponse
	list  string // separated by commas
}

// NewOverrides returns the overrides of the given names, in lower case.
func NewOverrides(names []string) Overrides {
	var w wireWriter
	for _, name := range names {
		w.text(okHeadersToRemove, name)
	}
	return Overrides{names, w.bytes, strings.Join(names, ",")}
}

// Names returns the headers, for a transport that removes them one by one.
func (o *Overrides) Names() []string { return o.names }
