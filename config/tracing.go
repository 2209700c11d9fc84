package config

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"

	"keyward/config/strictyaml"

	"go.yaml.in/yaml/v3"
)

// Tracing says where the spans of checks are sent, and which checks have one.
type Tracing struct {
	Endpoint string  // of a collector, http:// or https://; "": no spans
	Sample   float64 // share, from 0 to 1, of the checks that are not part of a trace
}

// Enabled reports whether spans are made.
func (t Tracing) Enabled() bool { return t.Endpoint != "" }

func (d *decoder) tracing(v strictyaml.Value, t *Tracing) {
	d.Mapping(v, strictyaml.Fields{
		{"endpoint", d.Checked(&t.Endpoint, validCollector)},
		{"sample", d.fraction(&t.Sample)},
	})
	if t.Sample > 0 && !t.Enabled() {
		d.Warn(v.Line, "%s: sample is of no effect without an endpoint", v.Name)
	}
}

// validCollector accepts a URL of scheme, host and port, and the empty text for
// no collector. It has no place for a password: headers come from the
// environment.
func validCollector(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" ||
		endpoint != u.Scheme+"://"+u.Host {
		return errors.New("a collector is http://host:port, or https://host:port for TLS, and nothing more")
	}
	return validAddress(u.Host)
}

var fractionPattern = regexp.MustCompile(`^(0|0?\.[0-9]+|1|1\.0+)$`)

// fraction reads a number from 0 to 1.
func (d *decoder) fraction(to *float64) strictyaml.Field {
	return func(v strictyaml.Value) {
		share, err := strconv.ParseFloat(v.Value, 64)
		if v.Kind != yaml.ScalarNode || !d.IsUnquoted(v) || err != nil || !fractionPattern.MatchString(v.Value) {
			d.Wrong(v, "a number from 0 to 1, as 0.01")
			return
		}
		*to = share
	}
}
