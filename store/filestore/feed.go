package filestore

import (
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/jsonline"
)

// KeyFeed feeds a sink from a key file whose keys were hashed as Hasher does.
type KeyFeed struct {
	Hasher *apikey.Hasher
	journal.FollowConfig
}

// Follow implements Feed.
func (f KeyFeed) Follow(into store.Sink[store.KeyRecord]) (store.Follower, error) {
	return follow(f.FollowConfig, fileheader.Keys(f.Hasher), into, func() decoder[store.KeyRecord] { return &store.KeyDecoder{} })
}

// UserFeed feeds a sink from a users file.
type UserFeed struct{ journal.FollowConfig }

// Follow implements Feed.
func (f UserFeed) Follow(into store.Sink[store.UserRecord]) (store.Follower, error) {
	return follow(f.FollowConfig, fileheader.Users(), into, func() decoder[store.UserRecord] { return &store.UserDecoder{} })
}

// RevocationFeed feeds a sink from a revocations file. The file is made by the
// first revocation, so a server wants MissingOK, and a Settle of some 10 ms if
// that first one, too, is to be in force within 50 ms.
type RevocationFeed struct{ journal.FollowConfig }

// Follow implements Feed.
func (f RevocationFeed) Follow(into store.Sink[store.Revocation]) (store.Follower, error) {
	return follow(f.FollowConfig, fileheader.Revocations(), into, func() decoder[store.Revocation] { return &store.RevocationDecoder{} })
}

// ClientFeed feeds a sink from a file of OAuth clients whose secrets were hashed as Hasher
// does. The file is made by the first client, so a server wants MissingOK.
type ClientFeed struct {
	Hasher *apikey.Hasher
	journal.FollowConfig
}

// Follow implements Feed.
func (f ClientFeed) Follow(into store.Sink[store.Client]) (store.Follower, error) {
	return follow(f.FollowConfig, fileheader.Clients(f.Hasher), into, func() decoder[store.Client] { return &store.ClientDecoder{} })
}

// decoder decodes lines into one record, which is valid until the next one.
type decoder[R any] interface {
	Decode(line []byte) (*R, error)
}

func follow[R any](cfg journal.FollowConfig, h fileheader.Header, into store.Sink[R], newDecoder func() decoder[R]) (store.Follower, error) {
	f, err := journal.Follow(cfg, &lineSink[R]{into: into, header: h, newDecoder: newDecoder})
	if err != nil {
		return nil, err // and no Follower around a nil pointer
	}
	return f, nil
}

// lineSink decodes the lines of a journal for a sink of records.
type lineSink[R any] struct {
	into       store.Sink[R]
	header     fileheader.Header
	newDecoder func() decoder[R]
}

// CheckHeader implements journal.Sink.
func (s *lineSink[R]) CheckHeader(first []byte) error { return s.header.Check(first) }

// Begin implements journal.Sink.
func (s *lineSink[R]) Begin() journal.Generation {
	return &lineGeneration[R]{into: s.into.Begin(), lines: s.newDecoder()}
}

// Commit implements journal.Sink.
func (s *lineSink[R]) Commit(next journal.Generation) { s.into.Commit(recordsOf[R](next)) }

// Undone implements journal.Sink.
func (s *lineSink[R]) Undone(next journal.Generation, now time.Time) error {
	return s.into.Undone(recordsOf[R](next), now)
}

// Applied implements journal.Sink.
func (s *lineSink[R]) Applied() { s.into.Applied() }

// Fault implements journal.Sink.
func (s *lineSink[R]) Fault(reason error) { s.into.Fault(reason) }

// lineGeneration decodes lines for a generation of records.
type lineGeneration[R any] struct {
	into  store.Generation[R]
	lines decoder[R]
}

// recordsOf is the generation of records behind one that a lineSink began.
func recordsOf[R any](g journal.Generation) store.Generation[R] { return g.(*lineGeneration[R]).into }

// Apply implements journal.Generation. What a sink refuses is a bad line.
func (g *lineGeneration[R]) Apply(line []byte) (ended time.Time, err error) {
	record, err := g.lines.Decode(line)
	if err != nil {
		return time.Time{}, err
	}
	ended, err = g.into.Apply(record)
	if err != nil {
		return time.Time{}, jsonline.Error(err.Error())
	}
	return ended, nil
}
