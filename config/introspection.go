package config

import (
	"time"

	"keyward/authz"
	"keyward/config/strictyaml"
)

// Introspection configures a server that is queried about opaque tokens (RFC
// 7662).
type Introspection struct {
	Name                       string
	URL                        string
	Audiences                  []string // one of them must be in aud; empty: aud is not checked
	ClientID, ClientSecretFile string
	CacheTTL, Timeout          time.Duration
}

// introspection reads the list of servers.
func (d *decoder) introspection(v strictyaml.Value, cfg *Config) {
	lines := map[string]int{}
	d.Each(v, func(element strictyaml.Value) {
		i := Introspection{Name: "oauth", CacheTTL: 30 * time.Second, Timeout: 150 * time.Millisecond}
		before := d.Count()
		var kind authz.AuthMethod
		d.Mapping(element, strictyaml.Fields{
			{"name", d.Checked(&i.Name, validSourceName)},
			{"kind", strictyaml.Choice(d.Decoder, &kind, map[string]authz.AuthMethod{authz.AuthMethodOAuth.String(): authz.AuthMethodOAuth})},
			{"url", d.Checked(&i.URL, validURL)},
			{"audiences", d.List(&i.Audiences, validClaimText)},
			{"client_id", d.Text(&i.ClientID)},
			{"client_secret_file", d.filename(&i.ClientSecretFile)},
			{"cache_ttl", d.Duration(&i.CacheTTL, false)},
			{"timeout", d.atMost(&i.Timeout, 10*time.Second)},
		})
		if d.Count() > before {
			return
		}
		switch {
		case i.URL == "":
			d.Report(element.Line, "%s: a url is needed", element.Name)
		case (i.ClientID == "") != (i.ClientSecretFile == ""):
			d.Report(element.Line, "%s: client_id and client_secret_file go together", element.Name)
		}
		if i.Timeout >= 250*time.Millisecond {
			d.Warn(element.Line, "%s: a timeout of %s is not less than the 0.25 s that Envoy waits as envoy.yaml has it", element.Name, i.Timeout)
		}
		d.warnPlainHTTP(element, i.URL)
		d.checkUnique(element, lines, "name", i.Name, "")
		cfg.Introspection = append(cfg.Introspection, i)
	})
	if len(cfg.Introspection) > maxIssuers {
		d.Report(v.Line, "%s: more than %d servers", v.Name, maxIssuers)
	}
}
