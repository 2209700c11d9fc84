package page

// NavSection is a part of the navigation that the user may see.
type NavSection struct {
	Heading string
	Entries []NavEntry
}

// NavEntry is a link of it.
type NavEntry struct {
	Path, Text string
	Current    bool
}

// nav is the navigation of the style, without what the actor may not see.
func (r *Request) nav(current string) []NavSection {
	var sections []NavSection
	for _, section := range r.Words().Sections {
		shown := NavSection{Heading: section.Heading}
		for _, e := range section.Entries {
			if r.Can(e.Path) {
				shown.Entries = append(shown.Entries, NavEntry{e.Path, e.Text, e.Path == current})
			}
		}
		if len(shown.Entries) > 0 {
			sections = append(sections, shown)
		}
	}
	return sections
}

// notes are what a page says that was done before it: a closed set, so that no text of a
// URL is on a page.
var notes = map[string]string{
	"saved":   "The changes were saved. They apply from the next request.",
	"revoked": "It was revoked. Its next request is refused.",
	"deleted": "It was deleted. Its next request is refused.",
	"paused":  "It was paused. Its requests are refused until it is resumed.",
	"resumed": "It was resumed. Its requests are accepted again.",
	"grace":   "The old secret was ended. Its next request is refused.",
	"created": "It was created.",

	"deletedproject": "The project was deleted.",
	"disabled":       "The user was disabled. Its keys are refused from their next request, and its sessions and tokens have ended.",
	"enabled":        "The user was enabled. Its keys are accepted again.",
	"userpw":         "The password was set. The user's sessions and tokens have ended.",

	"client-disabled": "The client was disabled. Its tokens are refused, and it gets no new ones.",
	"client-enabled":  "The client was enabled. It gets tokens again; its users must sign in again.",
	"client-deleted":  "The client was deleted. Its tokens are refused, and it gets no new ones.",

	"tokens-revoked": "The tokens were revoked. Their next request is refused.",

	"set":      "Your password was set. Sign in with it.",
	"password": "Your password was changed. Your other sessions and tokens have ended. Your API keys stay valid.",
	"session":  "The session was ended.",
	"sessions": "All your other sessions were ended.",
	"access":   "The access of the application was ended. Its next request is refused.",
	"identity": "You have confirmed that it is you.",
}
