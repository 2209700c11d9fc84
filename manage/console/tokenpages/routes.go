// Package tokenpages has the pages of OAuth clients, to which tokens are issued, and of
// the tokens that are revoked.
package tokenpages

import (
	"embed"

	"keyward/manage/access"
	"keyward/manage/console/page"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// pageSize is how many records a page of a list has.
const pageSize = 50

// Routes are those of the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /clients", Needs: access.Read, Serve: p.listClients},
		{Pattern: "POST /clients", Needs: access.Admin, Serve: p.createClient},
		{Pattern: "GET /clients/new", Needs: access.Admin, Serve: p.showNewClient},
		{Pattern: "GET /clients/{id}", Needs: access.Read, Serve: p.showClient},
		{Pattern: "GET /clients/{id}/edit", Needs: access.Admin, Serve: p.showEditClient},
		{Pattern: "POST /clients/{id}/edit", Needs: access.Admin, Serve: p.editClient},
		{Pattern: "POST /clients/{id}/rotate", Needs: access.Admin, Serve: p.rotateClient},
		{Pattern: "GET /clients/{id}/disable", Needs: access.Admin, Serve: p.askDisableClient},
		{Pattern: "POST /clients/{id}/disable", Needs: access.Admin, Serve: p.disableClient},
		{Pattern: "POST /clients/{id}/enable", Needs: access.Admin, Serve: p.enableClient},
		{Pattern: "GET /clients/{id}/delete", Needs: access.Admin, Serve: p.askDeleteClient},
		{Pattern: "POST /clients/{id}/delete", Needs: access.Admin, Serve: p.deleteClient},

		{Pattern: "GET /revocations", Needs: access.Read, Serve: p.listRevocations},
		{Pattern: "GET /revocations/new", Needs: access.Admin, Serve: p.showNewRevocation},
		{Pattern: "POST /revocations/new", Needs: access.Admin, Serve: p.askRevocation},
		{Pattern: "POST /revocations", Needs: access.Admin, Serve: p.createRevocation},
	}
}
