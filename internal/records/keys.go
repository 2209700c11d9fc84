package records

import (
	"context"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/store"
)

// Keys changes keys.
type Keys struct{ service *manage.Service }

// NewKeys returns what changes the editor's keys. now may be nil, time.Now, and so may
// random, crypto/rand.Reader.
func NewKeys(editor store.Editor[store.KeyRecord], hasher *apikey.Hasher, now func() time.Time, random io.Reader) *Keys {
	return &Keys{manage.New(manage.Config{Stores: manage.Stores{KeyEditor: editor}, Hasher: hasher, Now: now, Rand: random})}
}

// Create makes a key, with a name if p has none.
func (k *Keys) Create(ctx context.Context, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	if p.Name == "" {
		p.Name = "a key"
	}
	r, secret, err := k.service.CreateKey(ctx, operator, p)
	return r, secret, causeOf(err)
}

// Import imports keys of another system.
func (k *Keys) Import(ctx context.Context, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	all, err := k.service.ImportKeys(ctx, operator, keys)
	return all, causeOf(err)
}

// Rotate gives a key a new secret.
func (k *Keys) Rotate(ctx context.Context, id string, ifMatch store.Version, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
	r, secret, err := k.service.RotateKey(ctx, operator, manage.KeyRef{ID: id, IfMatch: ifMatch}, grace)
	return r, secret, causeOf(err)
}

// Revoke ends a key.
func (k *Keys) Revoke(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	r, err := k.service.RevokeKey(ctx, operator, manage.KeyRef{ID: id, IfMatch: ifMatch})
	return r, causeOf(err)
}

// Delete ends a key and hides it.
func (k *Keys) Delete(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	r, err := k.service.DeleteKey(ctx, operator, manage.KeyRef{ID: id, IfMatch: ifMatch})
	return r, causeOf(err)
}
