package protocol

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// metadataAge is how long a client may keep the metadata.
const metadataAge = "public, max-age=300"

// readMetadata returns the metadata that the library has of itself (OpenID Connect Discovery
// section 3, RFC 8414 section 2), without what is not offered, and with what the guard does
// before it.
func (p *Protocol) readMetadata() ([]byte, error) {
	x := &exchange{path: openIDPath}
	r := p.ask(x.with(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: openIDPath}, Header: http.Header{}}))
	var all map[string]any
	if err := json.Unmarshal(r.body.Bytes(), &all); err != nil {
		return nil, err
	}
	delete(all, "registration_endpoint")
	delete(all, "scopes_supported") // which ones there are is for the operator, and for each client
	delete(all, "claim_types_supported")
	all["response_modes_supported"] = []string{"query"}
	all["id_token_signing_alg_values_supported"] = []string{"ES256", "RS256", "EdDSA"}
	all["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "client_secret_post", "none"}
	all["revocation_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "client_secret_post", "none"}
	all["introspection_endpoint_auth_methods_supported"] = []string{"client_secret_basic", "client_secret_post"}
	all["claims_supported"] = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "preferred_username"}
	all["prompt_values_supported"] = []string{"none", "login", "consent", "select_account"}
	all["request_parameter_supported"], all["request_uri_parameter_supported"], all["claims_parameter_supported"] = false, false, false
	return json.Marshal(all)
}

func (p *Protocol) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", metadataAge)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write(p.metadata)
}
