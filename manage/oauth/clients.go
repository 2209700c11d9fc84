package oauth

import (
	"context"
	"crypto/subtle"
	"errors"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/fault"
	"keyward/store"
)

// Client returns a client that may use the issuer. One that is unknown, deleted, disabled or
// not supported is NotFound.
func (s *Service) Client(ctx context.Context, id string) (store.Client, error) {
	if !store.ValidClientID(id) || s.Records.ClientReader == nil {
		return store.Client{}, errNoClient
	}
	r, err := s.Records.ClientReader.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.Client{}, errNoClient
	case err != nil:
		return store.Client{}, unavailable(err)
	case r.Disabled || r.Unsupported || !r.Deleted.IsZero():
		return store.Client{}, errNoClient
	}
	return r, nil
}

var errNoClient = &fault.Error{Code: fault.NotFound, Detail: "there is no such client, or it is disabled"}

// AuthenticateClient returns the client whose secret this is: a public one has none. Anything
// else is NotFound.
func (s *Service) AuthenticateClient(ctx context.Context, id string, secret authz.Secret) (store.Client, error) {
	r, err := s.Client(ctx, id)
	switch {
	case err != nil:
		return store.Client{}, err
	case r.Public && secret.Empty():
		return r, nil
	case r.Public || secret.Empty() || !s.hasSecret(&r, secret):
		return store.Client{}, errNoClient
	}
	return r, nil
}

// hasSecret reports whether the secret is the client's, or one that was replaced and is still
// valid.
func (s *Service) hasSecret(r *store.Client, secret authz.Secret) bool {
	digest := s.Records.Hasher.Digest(secret.Reveal())
	found := equal(&digest, &r.Hash)
	for _, p := range store.Unexpired(r.Previous, s.Now()) {
		found = equal(&digest, &p.Hash) || found
	}
	return found
}

func equal(a, b *apikey.Digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
