package tokensource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"keyward/verifier/issuerhttp"
	"keyward/verifier/jwks"
	"keyward/verifier/strictjson"
)

// maxDocument bounds a key set and an issuer's metadata, in bytes.
const maxDocument = 512 << 10

// jwksLocation is where an issuer publishes its keys.
type jwksLocation struct {
	issuer   string // "" if the URL is configured
	metadata string // URL of the issuer's metadata
	url      string // of the key set; "" until it is discovered
	guard    *issuerhttp.Guard
}

// newJWKSLocation takes the key set's URL from the configuration, or else the
// URL of the metadata that names it (OpenID Connect Discovery 1.0 section 4.1).
func newJWKSLocation(issuer, jwksURL string) (jwksLocation, error) {
	if jwksURL != "" {
		u, err := operatorURL("jwks_url", jwksURL)
		if err != nil {
			return jwksLocation{}, err
		}
		return jwksLocation{url: jwksURL, guard: issuerhttp.NewGuard(u, true)}, nil
	}
	u, err := operatorURL("issuer", issuer)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("issuer: an issuer whose keys are to be discovered has no query (OpenID Connect Discovery 1.0 section 3)")
	}
	if err != nil {
		return jwksLocation{}, err
	}
	return jwksLocation{
		issuer: issuer, metadata: strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration", guard: issuerhttp.NewGuard(u, false),
	}, nil
}

// load reads the keys. Discovery is repeated on scheduled refreshes and after a
// failure, since the issuer may move them. A refresh that a check waits for
// mostly skips it.
func (d *jwksLocation) load(ctx context.Context, client *http.Client, rediscover bool) (*jwks.Set, error) {
	if d.issuer != "" && (rediscover || d.url == "") {
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
	keys, err := jwks.Parse(withoutMark(document))
	if err != nil {
		return nil, notJSON(document, err)
	}
	return keys, nil
}

func (d *jwksLocation) discover(ctx context.Context, client *http.Client) error {
	document, err := get(ctx, client, d.metadata, "application/json")
	if err != nil {
		if status, _ := errors.AsType[issuerhttp.StatusError](err); status == http.StatusNotFound {
			err = fmt.Errorf("%w: if the issuer has no metadata at this URL, set jwks_url", err)
		}
		return err
	}
	location, err := parseMetadata(document, d.issuer)
	if err != nil {
		return err
	}
	u, err := checkURL(location)
	if err == nil {
		err = d.guard.Check(u)
	}
	if err != nil {
		return fmt.Errorf("jwks_uri: %w", err)
	}
	d.url = location
	return nil
}

// parseMetadata returns the jwks_uri of an issuer's metadata (RFC 8414 section
// 2). The metadata must name that issuer (section 3.3), or one issuer could
// hand out another's keys. The keys of an issuer on https must not be read over
// http.
func parseMetadata(document []byte, issuer string) (string, error) {
	members, err := strictjson.Object(withoutMark(document), strictjson.Limits{Depth: 16, Members: 512})
	if err != nil {
		return "", notJSON(document, err)
	}
	if err := checkIssuer(members, issuer); err != nil {
		return "", err
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
	return strings.Clone(text), nil // or the entire document would stay in memory with it
}

// Why an issuer's metadata is not that of the configured issuer, where one of
// the usual mistakes shows, and what to do. None quotes the metadata.
var (
	errOtherIssuer = errors.New("it is about another issuer: configure the issuer as its tokens have it (iss), and jwks_url if its metadata is elsewhere")
	errSlash       = errors.New("it is about another issuer: one of them has a slash at its end; configure the issuer as its tokens have it (iss)")
	errTemplate    = errors.New("it is about the issuers of many tenants: configure each tenant's own issuer, as its tokens have it (iss)")
	errNoIssuer    = errors.New("it names no issuer")
)

// checkIssuer checks that the metadata names the issuer.
func checkIssuer(members map[string]any, issuer string) error {
	said, ok := members["issuer"].(string)
	switch {
	case !ok:
		return errNoIssuer
	case said == issuer:
		return nil
	case strings.TrimSuffix(said, "/") == strings.TrimSuffix(issuer, "/"):
		return errSlash
	case strings.Contains(said, "{tenantid}"): // Entra, for common and organizations
		return errTemplate
	default:
		return errOtherIssuer
	}
}

func get(ctx context.Context, client *http.Client, url, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	r.Header.Set("Accept", accept)
	document, err := issuerhttp.Fetch(client, r, maxDocument)
	switch status, _ := errors.AsType[issuerhttp.StatusError](err); status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: the issuer must let Keyward read it without a credential", err)
	default:
		return document, err
	}
}
