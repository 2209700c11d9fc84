// Package once carries out a request that may be sent again, by an Idempotency-Key or
// by a form that is sent twice, a single time. What it keeps of the answer is for its
// caller, and has no secret.
package once

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"keyward/apikey"
	"keyward/manage/access"
	"keyward/manage/state"
)

// Request is what an actor asks for under a key of its own choice.
type Request struct {
	Actor  access.Actor
	Key    string
	Digest [sha256.Size]byte // of what is asked for, without a password
}

// Begin starts the request, under an id for the record that it may make. The caller is
// the user, whichever of its keys is presented, or a key without a user. Its errors are
// those of state.Idempotency.Begin.
func Begin(ctx context.Context, db *state.DB, r Request) (state.Attempt, error) {
	id, err := apikey.NewID(rand.Reader)
	if err != nil {
		return state.Attempt{}, err
	}
	return db.Idempotency.Begin(ctx, state.Operation{
		Caller: r.Actor.Name(), Since: r.Actor.Since(), Key: r.Key, Digest: r.Digest, RecordID: id.String(),
	})
}

// Result is how an attempt ended.
type Result struct {
	Status int    // HTTP; zero: there was none
	Answer []byte // what is kept of a success
}

// CarryOut has do make the attempt and keeps its answer. What was refused may be sent
// again, and so may what failed: then it is not known whether it was done, and the next
// attempt finds out. The error is that the answer could not be kept.
func CarryOut(ctx context.Context, db *state.DB, attempt state.Attempt, do func() Result) error {
	ctx = context.WithoutCancel(ctx) // the client may be gone
	ended := false
	defer func() {
		if !ended {
			_ = db.Idempotency.Release(ctx, attempt)
		}
	}()
	result := do()
	var err error
	switch {
	case result.Status/100 == 2:
		err = db.Idempotency.Finish(ctx, attempt, result.Answer)
	case result.Status/100 == 4 && !attempt.Resumed:
		err = db.Idempotency.Abandon(ctx, attempt)
	default:
		// An earlier attempt may have made the change, or be about to, although this one
		// was refused. If the name were forgotten, the next request would make it twice.
		return nil
	}
	ended = err == nil
	return err
}
