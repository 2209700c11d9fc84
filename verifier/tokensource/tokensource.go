// Package tokensource obtains data from the issuers of tokens: their keys, over
// the network or from files, and whether a token is active (RFC 7662). It
// accepts only responses that are entirely well formed, keeps the last good
// keys if later ones are bad, and bounds how long a check waits for an issuer.
// Package verifier decides whether a token is valid.
package tokensource

import (
	"errors"
	"fmt"
	"net/url"

	"keyward/verifier/jwks"
)

// Observer is notified of each attempt to read an issuer's keys. It is called
// from one goroutine at a time and must not block.
type Observer interface {
	// Refreshed counts an attempt; err is nil if the keys are now in force.
	Refreshed(err error)
	// Ignored sets how many keys of the set in force are left out.
	Ignored(keys int)
}

// discardObserver is the Observer of a source without one.
type discardObserver struct{}

func (discardObserver) Refreshed(error) {}
func (discardObserver) Ignored(int)     {}

func orDiscard(o Observer) Observer {
	if o == nil {
		return discardObserver{}
	}
	return o
}

// guarded reads keys. A panic is a failed read: no document of one issuer may
// end the process, which has other issuers and keys.
func guarded(read func() (*jwks.Set, error)) (keys *jwks.Set, err error) {
	defer func() {
		if v := recover(); v != nil {
			keys, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	return read()
}

// checkURL parses a URL of the operator or of an issuer. It must be absolute,
// http or https, with a host.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "":
		return nil, errors.New("it must be an absolute URL without a fragment")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("its scheme must be https or http")
	default:
		return u, nil
	}
}

// operatorURL parses the URL of a configuration key. An error names the key; the
// caller adds whose it is.
func operatorURL(key, text string) (*url.URL, error) {
	u, err := checkURL(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return u, nil
}
