// Package words has the words of the console's pages: a table for each style, whose
// columns are the API pages that Keyward can be. The pages are the same in each style;
// their words, their order and the first page differ.
package words

import "keyward/config"

// Words are what the pages call things in one style. A text with a capital begins a
// sentence or is a heading.
type Words struct {
	Title string // of the API, unless the configuration has one

	Key, Keys string // one key, several keys, within a sentence
	KeyTitle  string // one key, as a heading

	OwnSection, OwnKeys string // where a user's own keys are
	OwnLead             string // what they are for
	Start, Submit       string // the link to the form, and its button
	NameField           string
	NameHint            string
	ExpiryField         string
	ScopesField         string
	PathsField          string
	Created             string // heading of the page that shows a new key
	Warning             string // on that page
	Replace             string // a key by a new secret; "": there is no such button
	End                 string // a key
	EndNow              string // the link on a key's page, for one that leaked
	EndEffect           string // what happens to the key's requests
	Deletes             bool   // ending a key deletes it
	OwnUser             bool   // a user makes keys of its own

	Home     []string  // the first of these pages that the user may see is the first page
	Sections []Section // of the navigation
	try      string    // commands; see Try
}

// Section is a part of the navigation.
type Section struct {
	Heading string // "" for none
	Entries []Entry
}

// Entry is a link of the navigation. It is shown if there is such a page, and the user
// may see it.
type Entry struct{ Path, Text string }

// Of returns the words of a style.
func Of(style config.ConsoleStyle) *Words {
	if w, ok := styles()[style]; ok {
		return w
	}
	return styles()[config.ConsoleGeneric]
}

// Styles are all styles.
func Styles() []config.ConsoleStyle {
	return []config.ConsoleStyle{config.ConsoleGeneric, config.ConsoleHalo, config.ConsoleHalfred, config.ConsoleHaplo}
}

func styles() map[config.ConsoleStyle]*Words {
	return map[config.ConsoleStyle]*Words{
		config.ConsoleGeneric: generic(), config.ConsoleHalo: halo(), config.ConsoleHalfred: halfred(), config.ConsoleHaplo: haplo(),
	}
}
