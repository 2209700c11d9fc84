package page

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"

	"keyward/manage/fault"
	"keyward/manage/once"
	"keyward/manage/problem"
	"keyward/manage/state"
)

// Made is what is kept of a form that made a secret: whose it is, and not the secret.
type Made struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Attempt is the right to carry a form out.
type Attempt struct {
	RecordID string // of the record that it may make
	Resumed  bool   // an earlier attempt may have made it
}

// Once carries out a form a single time, by its field idempotency_key, whose actor is
// then that of the operation. again means that it was done before: nothing was done now,
// and the secret was in the first answer.
func (r *Request) Once(do func(Attempt) (Made, error)) (made Made, again bool, err error) {
	key := r.Sent.Get(onceField)
	if key == "" {
		return Made{}, false, &Problem{Code: problem.Malformed, Cause: errNoKey}
	}
	attempt, err := once.Begin(r.Context(), r.State(), once.Request{Actor: r.Actor, Key: key, Digest: r.digest()})
	switch {
	case errors.Is(err, state.ErrRunning):
		return Made{}, false, &Problem{Code: problem.IdempotencyRunning, Cause: err}
	case errors.Is(err, state.ErrReused):
		return Made{}, false, &Problem{Code: problem.IdempotencyReused, Cause: err}
	case errors.Is(err, state.ErrInvalid):
		return Made{}, false, &Problem{Code: problem.Malformed, Cause: err}
	case errors.Is(err, state.ErrFull):
		return Made{}, false, fault.Refuse(fault.RateLimited, "too many forms of this user within a day")
	case err != nil:
		return Made{}, false, &fault.Error{Code: fault.StoreUnavailable, Detail: "the state cannot be written", Cause: err}
	case attempt.Answer != nil:
		err = json.Unmarshal(attempt.Answer, &made)
		return made, true, err
	}
	r.Actor = r.Actor.During(attempt.RecordID)
	kept := once.CarryOut(r.Context(), r.State(), attempt, func() once.Result {
		if made, err = do(Attempt{attempt.RecordID, attempt.Resumed}); err != nil {
			return once.Result{Status: ProblemOf(err).Status()}
		}
		answer, _ := json.Marshal(made) // of two texts
		return once.Result{Status: http.StatusOK, Answer: answer}
	})
	if kept != nil {
		r.Log.Error("console: what became of a form is not kept", "error", kept)
	}
	return made, false, err
}

// State is what managing remembers that is not a record.
func (r *Request) State() *state.DB { return r.Config.State() }

// digest identifies what the form asks for, without a password.
func (r *Request) digest() [sha256.Size]byte {
	values := withoutPasswords(r.Sent)
	values.Del(onceField)
	return sha256.Sum256([]byte(r.HTTP.Method + " " + r.HTTP.URL.Path + "\n" + values.Encode()))
}
