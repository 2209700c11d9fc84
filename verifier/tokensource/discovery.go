package tokensource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"keyward/verifier/jwks"
	"keyward/verifier/strictjson"
)

// maxDocument is the most bytes of a key set or of an issuer's metadata.
const maxDocument = 512 << 10

// keyDocument is where an issuer publishes its keys.
type keyDocument struct {
	issuer   string // "" where the place is configured
	metadata string // URL of the issuer's metadata
	url      string // of the key set; "" before it was discovered
	reach    *reach
}

// newKeyDocument takes the place of the keys from the configuration, or that
// of the document that names it (OpenID Connect Discovery 1.0 section 4.1).
func newKeyDocument(issuer, jwksURL string) (keyDocument, error) {
	if jwksURL != "" {
		u, err := operatorURL("jwks_url", jwksURL)
		if err != nil {
			return keyDocument{}, err
		}
		return keyDocument{url: jwksURL, reach: reachOf(u, true)}, nil
	}
	u, err := operatorURL("issuer", issuer)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("issuer: an issuer whose keys are to be discovered has no query (OpenID Connect Discovery 1.0 section 3)")
	}
	if err != nil {
		return keyDocument{}, err
	}
	return keyDocument{
		issuer: issuer, metadata: strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration", reach: reachOf(u, false),
	}, nil
}

// load reads the keys. Discovery is done anew from time to time and after a
// failure, as the issuer may move them. A check that waits is mostly spared it.
func (d *keyDocument) load(ctx context.Context, client *http.Client, anew bool) (*jwks.Set, error) {
	if d.issuer != "" && (anew || d.url == "") {
		if err := d.discover(ctx, client); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	keys, err := readKeys(ctx, client, d.url)
	if err != nil && d.issuer != "" {
		d.url = ""
	}
	return keys, err
}

func readKeys(ctx context.Context, client *http.Client, url string) (*jwks.Set, error) {
	document, err := get(ctx, client, url, "application/jwk-set+json, application/json")
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return jwks.Parse(document)
}

func (d *keyDocument) discover(ctx context.Context, client *http.Client) error {
	document, err := get(ctx, client, d.metadata, "application/json")
	if err != nil {
		return err
	}
	place, err := parseMetadata(document, d.issuer)
	if err != nil {
		return err
	}
	u, err := checkURL(place)
	if err == nil {
		err = d.reach.check(u)
	}
	if err != nil {
		return fmt.Errorf("jwks_uri: %w", err)
	}
	d.url = place
	return nil
}

// parseMetadata returns where an issuer's metadata (RFC 8414 section 2) says
// that its keys are. The metadata must be about that very issuer (section
// 3.3), or one issuer could hand out another's keys, and an issuer on https
// must not have its keys read over http.
func parseMetadata(document []byte, issuer string) (string, error) {
	members, err := strictjson.Object(document, strictjson.Limits{Depth: 16, Members: 512})
	if err != nil {
		return "", err
	}
	if said, ok := members["issuer"].(string); !ok || said != issuer {
		return "", errors.New("it is about another issuer")
	}
	text, ok := members["jwks_uri"].(string)
	if !ok {
		return "", errors.New("it has no jwks_uri")
	}
	u, err := checkURL(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("jwks_uri: %w", err)
	case u.User != nil:
		return "", errors.New("jwks_uri: it must not have a user")
	case u.Scheme == "http" && strings.HasPrefix(strings.ToLower(issuer), "https:"):
		return "", errors.New("jwks_uri: the keys of an issuer on https must be there too")
	}
	return strings.Clone(text), nil // or the whole document stayed in memory with it
}

func get(ctx context.Context, client *http.Client, url, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	r.Header.Set("Accept", accept)
	return exchange(client, r, maxDocument)
}
