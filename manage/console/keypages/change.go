package keypages

import (
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/console/page"
	"keyward/manage/input"
	"keyward/store"
)

const day = 24 * time.Hour

// rotate gives a key a new secret and shows it.
func (a area) rotate(r *page.Request) error {
	grace, err := input.Grace(r.Value("grace"))
	if err != nil {
		return err
	}
	ref := a.ref(r)
	var record store.KeyRecord
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		if attempt.Resumed {
			if done, err := rotatedBefore(r, ref); err != nil || done.ID != "" {
				return done, err
			}
		}
		var err error
		record, secret, err = r.Service().RotateKey(r.Context(), r.Actor, ref, grace)
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil:
		return err
	case again || secret.Empty():
		return a.showAgain(r, made)
	}
	note := "The old secret is refused from now on."
	if grace > 0 {
		note = "The old secret is accepted for " + page.Span(grace) + ": replace it in the program until then."
	}
	return a.showSecret(r, "Key rotated", note, &record, secret)
}

// rotatedBefore returns the key if an earlier attempt has rotated it, whose secret is
// lost.
func rotatedBefore(r *page.Request, ref manage.KeyRef) (page.Made, error) {
	entries, err := r.Service().Made(r.Context(), r.Actor)
	if err != nil || len(entries) == 0 {
		return page.Made{}, err
	}
	record, err := r.Service().Key(r.Context(), r.Actor, ref)
	return page.Made{ID: record.ID, Name: record.Name}, err
}

func (a area) pause(r *page.Request) error {
	ref := a.ref(r)
	ref.Reason = r.Value("note")
	if _, err := r.Service().PauseKey(r.Context(), r.Actor, ref); err != nil {
		return err
	}
	return r.Done(a.path+"/"+ref.ID, "paused")
}

func (a area) resume(r *page.Request) error {
	ref := a.ref(r)
	if _, err := r.Service().ResumeKey(r.Context(), r.Actor, ref); err != nil {
		return err
	}
	return r.Done(a.path+"/"+ref.ID, "resumed")
}

func (a area) endGrace(r *page.Request) error {
	ref := a.ref(r)
	if _, err := r.Service().EndGrace(r.Context(), r.Actor, ref); err != nil {
		return err
	}
	return r.Done(a.path+"/"+ref.ID, "grace")
}

// revokeAll revokes the selected keys in one step.
func (p pages) revokeAll(r *page.Request) error {
	ids := r.Sent["id"]
	if len(ids) == 0 {
		return r.SeeOther("/keys?select=none")
	}
	if _, err := r.Service().RevokeKeys(r.Context(), r.Actor, manage.Selection{IDs: ids}); err != nil {
		return err
	}
	return r.Done("/keys", "revoked")
}
