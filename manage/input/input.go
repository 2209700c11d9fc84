// Package input reads what callers of the managing half write of times, durations and
// networks, for the management API and the forms of the console alike.
package input

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/config"
	"keyward/manage/fault"
)

// Expiry reads when a key is to expire: a time from now, or an RFC 3339 time. "" is
// never.
func Expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Truncate(time.Second), nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d <= 0 {
		return time.Time{}, Invalid("/expires", "is neither a time from now, as 90d, nor an RFC 3339 time")
	}
	return now.Add(d).UTC().Truncate(time.Second), nil
}

// Grace reads how long an earlier secret stays valid; "" and 0 are not at all.
func Grace(text string) (time.Duration, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	grace, err := config.ParseDuration(text)
	if err != nil || grace < 0 {
		return 0, Invalid("/grace", "is not a time as 90s, 24h or 7d")
	}
	return grace, nil
}

// Networks reads the networks of a key's clients.
func Networks(texts []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range texts {
		network, err := authz.ParseNetwork(text)
		if err != nil {
			return nil, Invalid("/cidrs", err.Error())
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// Span is a duration of a filter, and where it goes.
type Span struct {
	Name, Text string
	Into       *time.Duration
}

// Spans reads the durations of a filter, or says all that is wrong with them. "" sets
// none.
func Spans(spans ...Span) error {
	var bad fault.Problems
	for _, span := range spans {
		if span.Text == "" {
			continue
		}
		d, err := config.ParseDuration(span.Text)
		if err != nil || d <= 0 {
			bad.Add("/query/"+span.Name, "is not a time above zero, as 24h or 90d")
			continue
		}
		*span.Into = d
	}
	return bad.Err()
}

// Addressable refuses the name of a record of that kind where a request about it would
// not pass the rules for paths.
func Addressable(kind, name string) error {
	target := &url.URL{Path: "/api/v1/" + name}
	if _, err := urlpath.Parse(target.EscapedPath(), urlpath.Rules{}); err != nil || strings.Contains(name, "/") {
		return Invalid("/name", "cannot be a part of a path: the API could not show, change or delete the "+kind)
	}
	return nil
}

// Invalid is the error of one member.
func Invalid(pointer, detail string) error {
	return fault.InvalidMembers(fault.FieldError{Pointer: pointer, Detail: detail})
}
