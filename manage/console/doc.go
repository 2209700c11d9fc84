// Package console serves the console: the pages by which people create, see and revoke keys
// and what belongs to them. It authenticates the session, checks where a request comes
// from, and answers with a page. It holds no rule about who may do what: every page
// calls [manage.Service], as the management API does.
//
// Each area has a package of pages below this one; [page] has what they share.
package console
