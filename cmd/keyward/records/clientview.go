package records

import (
	"io"
	"strings"

	"keyward/cmd/keyward/command"
	"keyward/manage/registry"
	"keyward/store/confusable"
	"keyward/store/oauth"
)

// clientState is what has become of an OAuth client.
func clientState(v *registry.ClientView) string {
	switch {
	case v.Unsupported:
		return "unsupported"
	case v.Disabled:
		return "disabled"
	default:
		return "enabled"
	}
}

func clientType(v *registry.ClientView) string {
	if v.Public {
		return "public"
	}
	return "confidential"
}

func grantList(grants []oauth.Grant) string {
	texts := make([]string, len(grants))
	for i, g := range grants {
		texts[i] = string(g)
	}
	return command.OrDash(strings.Join(texts, " "))
}

func writeClients(w io.Writer, views []registry.ClientView) {
	command.Table(w, func(row func(...any)) {
		row("ID", "STATE", "TYPE", "NAME", "GRANTS", "SCOPES", "CREATED")
		for i := range views {
			v := &views[i]
			row(confusable.Shown(v.ID), clientState(v), clientType(v), command.OrDash(v.Name), grantList(v.Grants), command.OrDash(strings.Join(v.Scopes, " ")), command.Instant(v.Created))
		}
	})
}

// writeClient prints the view as one name and value per line.
func writeClient(w io.Writer, v *registry.ClientView) {
	command.Table(w, func(row func(...any)) {
		row("id", confusable.Shown(v.ID))
		row("name", command.OrDash(v.Name))
		row("state", clientState(v))
		row("type", clientType(v))
		row("grants", grantList(v.Grants))
		row("scopes", command.OrDash(strings.Join(v.Scopes, " ")))
		for _, uri := range v.RedirectURIs {
			row("redirect URI", confusable.Shown(uri))
		}
		row("created", command.Instant(v.Created))
		if v.CreatedBy != "" {
			row("created by", confusable.Shown(v.CreatedBy))
		}
		if !v.Rotated.IsZero() {
			row("rotated", command.Instant(v.Rotated))
		}
		for _, until := range v.Previous {
			row("old secret until", command.Instant(until))
		}
	})
}
