package page

import (
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/store"
)

// Secret is what the page that shows a secret has. It is rendered once, in the answer to
// the form that made it.
type Secret struct {
	Heading string // of the record, or whose it is
	Label   string // what it is: API key, one-time link
	Warning string
	Value   authz.Secret
	Try     string // commands; "" is none
	Note    string // what else was done; "" is nothing
	Path    string // of the page that follows
	Facts   []Fact // about the record
	Lost    string // what to do if it was not stored; "" is nothing
}

// Fact is a detail of a record: tags, a time or a code if it has them, else a text.
type Fact struct {
	Name, Text, Code string
	Time             time.Time
	Tags             []string
}

// Revealed is the secret, for the template.
func (s Secret) Revealed() string { return s.Value.Reveal() }

// ShowSecret answers with the page that shows a secret.
func (r *Request) ShowSecret(head Head, s Secret) error {
	return r.Render(r.shared, "secret.html", head, s)
}

// ShownBefore answers a form that was sent before, whose secret was shown then. what is the
// record, path its page, and lost what to do if the secret was not stored.
func (r *Request) ShownBefore(head Head, what, path, lost string) error {
	return r.Render(r.shared, "again.html", head, struct{ What, Path, Lost string }{what, path, lost})
}

// ShowKey is ShowSecret for the secret of a key; lost says what to do if it was not stored.
func (r *Request) ShowKey(head Head, k *store.KeyRecord, secret authz.Secret, note, path, lost string) error {
	usable := ""
	if len(k.Paths) > 0 {
		usable = k.Paths[0]
	}
	return r.ShowSecret(head, Secret{
		Heading: k.Name, Label: r.Words().Key, Warning: r.Words().Warning, Value: secret, Note: note, Path: path, Lost: lost,
		Try: r.Words().Try(secret.Reveal(), r.Settings().APIURL, usable), Facts: r.factsOf(k),
	})
}

// LostProjectKey says what to do about a project's key that was not stored, on the page of the
// project.
const LostProjectKey = "replace the key once more: you get a new one, and the lost one is refused."

// LostKey says what to do about a key whose secret was not stored, on the page of the key.
func (r *Request) LostKey() string {
	if r.Words().Replace == "" {
		return "delete the " + r.Words().Key + ", and create another one."
	}
	return "rotate the " + r.Words().Key + " without a grace period: you get a new secret, and the lost one is refused."
}

func (r *Request) factsOf(k *store.KeyRecord) []Fact {
	facts := []Fact{{Name: "Id", Code: k.ID}}
	if k.User != "" {
		facts = append(facts, Fact{Name: "Acts as", Text: k.User})
	}
	scopes := Fact{Name: r.Words().ScopesField, Text: "everything that its user may do"}
	if k.Scopes != nil {
		scopes.Tags, scopes.Text = *k.Scopes, "none"
	}
	facts = append(facts, scopes)
	if len(k.Paths) > 0 {
		facts = append(facts, Fact{Name: "Paths", Tags: k.Paths})
	}
	return append(facts, Fact{Name: "Expires", Time: k.Expires, Text: "never"})
}

// KeyFormat is the format of new keys in the style, and their prefix.
func (r *Request) KeyFormat() (format apikey.Format, prefix string) {
	if r.Settings().Style == config.ConsoleHaplo {
		return apikey.FormatHex, ""
	}
	return apikey.FormatKeyward, r.Service().Prefix()
}

// MakeKey makes the key of an attempt. An earlier attempt may have made it; its secret is
// lost, and the returned one is empty.
func (r *Request) MakeKey(attempt Attempt, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	p.ID = attempt.RecordID
	if attempt.Resumed {
		if record, err := r.Service().MadeKey(r.Context(), r.Actor, p.ID); err == nil {
			return record, authz.Secret{}, nil
		}
	}
	return r.Service().CreateKey(r.Context(), r.Actor, p)
}
