package client

import (
	"time"

	"keyward/manage"
	"keyward/store"
)

// members are the members of a request's body.
type members map[string]any

// put sets the members that are not empty: name, value, name, value, and so on.
func (m members) put(pairs ...string) members {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}

// settingsOf returns what a new key may do, where it says that.
func settingsOf(p *store.KeyParams) members {
	m := members{}.put("project", p.Project, "rate", p.Rate, "description", p.Description, "owner", p.Owner, "expires", instant(p.Expires), "not_before", instant(p.NotBefore))
	if p.Scopes != nil {
		m["scopes"] = *p.Scopes
	}
	if len(p.Paths) > 0 {
		m["paths"] = p.Paths
	}
	if len(p.CIDRs) > 0 {
		m["cidrs"] = p.CIDRs
	}
	return m
}

// patchOf returns the merge patch (RFC 7396): null removes what is there.
func patchOf(p *manage.KeyPatch) members {
	m := members{}
	for name, text := range map[string]*string{"name": p.Name, "project": p.Project, "rate": p.Rate, "description": p.Description, "owner": p.Owner} {
		if text != nil {
			m[name] = orNull(*text)
		}
	}
	for name, at := range map[string]*time.Time{"expires": p.Expires, "not_before": p.NotBefore} {
		if at != nil {
			m[name] = orNull(instant(*at))
		}
	}
	if p.Scopes != nil {
		m["scopes"] = *p.Scopes
	}
	if p.Paths != nil {
		m["paths"] = listOrNull(*p.Paths)
	}
	if p.CIDRs != nil {
		m["cidrs"] = listOrNull(*p.CIDRs)
	}
	return m
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func listOrNull[T any](list []T) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// instant returns the time as the API reads it; "" for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
