// Package operatorpages has the pages by which operators see what happens: the audit
// log. They show, and change nothing.
package operatorpages

import (
	"embed"

	"keyward/manage/access"
	"keyward/manage/console/page"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// Routes are those of the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /audit", Needs: access.Read, Serve: p.audit},
	}
}
