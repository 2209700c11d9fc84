package records

import (
	"fmt"
	"net/netip"
	"time"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
)

// checkRate returns why a rate cannot be that of a key; "" is none.
func checkRate(text string) error {
	if text == "" {
		return nil
	}
	if _, err := authz.ParseRate(text); err != nil {
		return fmt.Errorf("--rate %q: %w", text, err)
	}
	return nil
}

// expiry reads a future time: a duration from now, or an RFC 3339 time. "" is never.
func expiry(text string, now time.Time) (time.Time, error) {
	at, err := moment("--expires", text, now)
	if err == nil && !at.IsZero() && !at.After(now) {
		return time.Time{}, fmt.Errorf("--expires %q: that is not in the future", text)
	}
	return at, err
}

// beginning reads a time, which may have passed. "" is from the beginning.
func beginning(text string, now time.Time) (time.Time, error) {
	return moment("--not-before", text, now)
}

// moment reads a duration from now, or an RFC 3339 time, to the second; "" is zero.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := config.ParseDuration(text)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s %q: want a time from now as 90d or 12h, or an RFC 3339 time as 2030-01-31T00:00:00Z", flag, text)
		}
		at = now.Add(d)
	}
	return at.UTC().Truncate(time.Second), nil
}

// networks reads the networks of a key's clients.
func networks(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		network, err := authz.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("--cidr %q: %w", text, err)
		}
		all = append(all, network)
	}
	return all, nil
}

// span reads the duration in a flag; "" is none.
func span(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, command.Usagef("%s %q: want a time as 24h or 90d, above zero", flag, text)
	}
	return d, nil
}
