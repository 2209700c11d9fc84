package page

// GiveFirst gives the actor what a user gets at the first login, and answers with the page
// that shows its key; false if there is no key to show.
func (r *Request) GiveFirst() (shown bool, err error) {
	format, prefix := r.KeyFormat()
	given, err := r.Accounts().GiveFirst(r.Context(), r.Actor, format, prefix)
	if err != nil || given.Secret.Empty() {
		return false, err
	}
	note, path, lost := "This is your first API key.", "/me/keys/"+given.Key.ID, r.LostKey()
	if given.Project != "" {
		note, path, lost = "We created a default project for you. This is its API key.", "/projects/"+given.Project, LostProjectKey
	}
	return true, r.ShowKey(Head{Title: "Welcome to " + r.Title()}, &given.Key, given.Secret, note, path, lost)
}
