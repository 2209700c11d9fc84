package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"keyward/authz"
	"keyward/config"
)

// settings are what filter_config of Envoy's configuration has.
type settings struct {
	file  string // absolute path of keyward.yaml
	admin string // address of the listener for metrics; "" is none
	deny  bool   // what cannot be decided at once is denied
	quiet bool   // allowed requests get no metadata
}

// parseSettings reads filter_config: a JSON object, as Envoy makes it of a
// google.protobuf.Struct.
func parseSettings(text []byte) (settings, error) {
	var s struct {
		Config    string `json:"config"`
		Undecided string `json:"undecided"`
		Admin     string `json:"admin"`
		Metadata  string `json:"metadata"`
	}
	if err := decodeStrictly(text, &s); err != nil {
		return settings{}, fmt.Errorf("filter_config: %w; it has config, undecided, metadata and admin", err)
	}
	if s.Config == "" {
		return settings{}, errors.New("filter_config: config is missing, the path of keyward.yaml")
	}
	if s.Undecided != "" && s.Undecided != "ask" && s.Undecided != "deny" {
		return settings{}, fmt.Errorf("filter_config: undecided: %q is neither ask nor deny", s.Undecided)
	}
	if s.Metadata != "" && s.Metadata != "all" && s.Metadata != "denied" {
		return settings{}, fmt.Errorf("filter_config: metadata: %q is neither all nor denied", s.Metadata)
	}
	if s.Metadata == "denied" && s.Undecided == "ask" {
		return settings{}, errors.New("filter_config: metadata: denied excludes undecided: ask: ext_authz skips what the metadata says is allowed")
	}
	if s.Admin != "" {
		if _, _, err := net.SplitHostPort(s.Admin); err != nil {
			return settings{}, fmt.Errorf("filter_config: admin: %w", err)
		}
	}
	file, err := filepath.Abs(s.Config)
	if err != nil {
		return settings{}, fmt.Errorf("filter_config: config: %w", err)
	}
	return settings{file: file, admin: s.Admin, deny: s.Undecided != "ask", quiet: s.Metadata == "denied"}, nil
}

// parseRoute reads the filter_config of a route, and returns the Keyward route that it
// selects.
func parseRoute(text []byte) (string, error) {
	var s struct {
		Route string `json:"route"`
	}
	if err := decodeStrictly(text, &s); err != nil {
		return "", fmt.Errorf("filter_config of a route: %w; it has route", err)
	}
	if s.Route == "" { // must not mean "select by path"
		return "", errors.New("filter_config of a route: route is missing, the name of a route in keyward.yaml")
	}
	return s.Route, nil
}

func decodeStrictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}

// load loads the configuration. Of its listeners the module opens none: they are
// those of the Keyward beside Envoy.
func (s settings) load() (*config.Config, error) {
	cfg, err := config.Load(s.file, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if cfg.OwnIssuer() {
		acceptOwnTokens(cfg)
	}
	cfg.Listen = config.Listen{Admin: s.admin}
	return cfg, nil
}

// ownLeeway is the clock difference that is allowed for the tokens of the Keyward
// beside Envoy.
const ownLeeway = 30 * time.Second

// acceptOwnTokens makes the module accept the tokens that the Keyward beside Envoy
// issues, as a Keyward elsewhere does: by the public keys that the issuer publishes.
// The keys that sign are not read within Envoy.
func acceptOwnTokens(cfg *config.Config) {
	cfg.JWT = append(cfg.JWT, config.JWT{
		Name: "issuer", AuthMethod: authz.AuthMethodOAuth, Issuer: cfg.Issuer.URL, Audiences: append([]string{cfg.Issuer.TokenAudience()}, cfg.Resources()...), Algorithms: config.IssuerAlgorithms(),
		SubjectClaim: "sub", AudienceClaim: "aud", ScopeClaims: []string{"scope"}, RequireKid: true, RequireExp: true,
		Leeway: ownLeeway, MaxLifetime: config.MaxAccessTTL + time.Second, Users: true, Keyward: true,
	})
}
