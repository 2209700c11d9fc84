package extauthz

import "strings"

// Overrides are the headers that the proxy removes on every allow, encoded once
// in the forms that responses have. The zero Overrides removes none.
type Overrides struct {
	names []string
	wire  []byte // headers_to_remove of an OkHttpResponse
	list  string // separated by commas
	known map[string]bool
}

// NewOverrides returns the overrides of the given names, in lower case.
func NewOverrides(names []string) Overrides {
	var w wireWriter
	for _, name := range names {
		w.text(okHeadersToRemove, name)
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	return Overrides{names, w.bytes, strings.Join(names, ","), known}
}

// Names returns the headers, for a transport that removes them one by one.
func (o *Overrides) Names() []string { return o.names }

func (o *Overrides) contains(name string) bool { return o.known[name] }
