package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/keptanswer"
	"keyward/manage/once"
	"keyward/manage/problem"
	"keyward/manage/state"
	"keyward/store/audit"
	"keyward/verifier/strictjson"
)

// idempotencyHeader names a request of a caller: a request that is sent again under
// the same name is carried out once.
const idempotencyHeader = "Idempotency-Key"

// idempotent reports whether a request is one that is carried out once.
func idempotent(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get(idempotencyHeader) != "" && takesName(r.URL.Path)
}

// takesName reports whether a POST to the path takes an Idempotency-Key. Passwords are
// neither compared nor kept, so their endpoints take none. The verification of a key
// changes nothing, and must not answer as it did before the key was revoked.
func takesName(path string) bool {
	return !strings.HasSuffix(path, "/password") && !strings.HasSuffix(path, "/keys/verify")
}

// takesAway reports whether a request only takes away what credentials may do, and does
// the same when it is carried out again. A leaked key must not stay in force for want of
// a state file, or of room for another name.
func takesAway(r *http.Request) bool {
	path := r.URL.Path
	return strings.HasSuffix(path, "/revoke") || strings.HasSuffix(path, "/end-grace") || strings.HasSuffix(path, "/pause") || path == apiPath+"/revocations"
}

// serveOnce serves a request with an Idempotency-Key: it carries it out, or answers
// as the first time, but without the secret.
func (a *api) serveOnce(w http.ResponseWriter, r *http.Request, c *call, body []byte) {
	attempt, err := once.Begin(r.Context(), a.State(), once.Request{Actor: c.actor, Key: r.Header.Get(idempotencyHeader), Digest: digestOf(r, body)})
	switch {
	case errors.Is(err, state.ErrRunning):
		problem.New(problem.IdempotencyRunning, "a request with this Idempotency-Key is being carried out").Write(w)
	case errors.Is(err, state.ErrReused):
		problem.New(problem.IdempotencyReused, "this Idempotency-Key belongs to another request").Write(w)
	case errors.Is(err, state.ErrInvalid):
		problem.New(fault.Invalid, "the Idempotency-Key has more than 255 bytes").Write(w)
	case err != nil && takesAway(r):
		a.Log.Error("idempotency key cannot be stored; the request is carried out without it", "error", err)
		a.serve(w, r)
	case errors.Is(err, state.ErrFull):
		problem.New(fault.RateLimited, "too many Idempotency-Keys of this caller within a day").Write(w)
	case err != nil:
		a.Log.Error("idempotency key cannot be stored", "error", err)
		problem.New(fault.StoreUnavailable, "").Write(w)
	case attempt.Answer != nil:
		if p := a.authorizeAgain(r, c); p != nil {
			p.Write(w)
			return
		}
		if !keptanswer.Write(w, attempt.Answer) {
			problem.New(problem.Internal, "").Write(w)
		}
	default:
		a.carryOut(w, r, c, attempt)
	}
}

// authorizeAgain returns why the caller may not ask for what was carried out: perhaps by another
// key of its user, or when the key was permitted more. It changes nothing.
func (a *api) authorizeAgain(r *http.Request, c *call) *problem.Problem {
	c.refused = problem.New(problem.Internal, "") // where no operation is reached
	a.serve(&headOnly{header: http.Header{}}, r.WithContext(fault.DryRun(r.Context())))
	return c.refused
}

// authorized keeps whether the caller may ask for an operation, which returned err.
func (c *call) authorized(err error) {
	c.refused = nil
	if e := fault.AsError(err); err != nil && (e == nil || !e.Permitted()) {
		c.refused = asProblem(err)
	}
}

// digestOf identifies what a request asks for: its method, target and body, without a
// password.
func digestOf(r *http.Request, body []byte) [sha256.Size]byte {
	if members, err := strictjson.Object(body, strictjson.Limits{Depth: maxDepth, Members: maxMembers}); err == nil {
		delete(members, "password")
		if text, err := json.Marshal(members); err == nil { // in the order of the names
			body = text
		}
	}
	return sha256.Sum256([]byte(r.Method + " " + r.URL.RequestURI() + "\n" + string(body)))
}

// carryOut serves the request and keeps its answer.
func (a *api) carryOut(w http.ResponseWriter, r *http.Request, c *call, attempt state.Attempt) {
	c.recordID, c.resumed, c.actor = attempt.RecordID, attempt.Resumed, c.actor.During(attempt.RecordID)
	c.made = func(ctx context.Context) ([]audit.Entry, error) { return a.Service().Made(ctx, c.actor) }
	err := once.CarryOut(r.Context(), a.State(), attempt, func() once.Result {
		answer := &keptanswer.Recorder{ResponseWriter: w}
		a.serve(answer, r)
		return once.Result{Status: answer.Status(), Answer: answer.Encode()}
	})
	if err != nil {
		a.Log.Error("the answer to a request with an Idempotency-Key is not kept", "error", err)
	}
}

// madeBefore returns the entries of what earlier attempts of the request changed.
func (a *api) madeBefore(ctx context.Context) ([]audit.Entry, error) {
	if c := callOf(ctx); c != nil && c.resumed {
		return c.made(ctx)
	}
	return nil, nil
}

// madeMeanwhile reports whether the operation is refused since another attempt of the
// request has made its change by now: one that was taken for dead, or the one that took
// this one for dead. Called again, the operation answers with what was made.
func (c *call) madeMeanwhile(ctx context.Context, err error) bool {
	code := fault.CodeOf(err)
	if err == nil || c.made == nil || code != fault.Conflict && code != fault.Changed && code != fault.Ended {
		return false
	}
	if made, err := c.made(ctx); err != nil || len(made) == 0 {
		return false
	}
	c.resumed = true
	return true
}

// madeKey is the answer with a key that an earlier attempt of the request changed.
func (a *api) madeKey(ctx context.Context, who access.Actor, ref manage.KeyRef, err error) (*keyOutput, error) {
	if err != nil {
		return nil, err
	}
	r, err := a.Service().Key(ctx, who, ref)
	return a.keyOutput(ctx, &r, authz.Secret{}, err)
}

// withoutSecret says in an answer that the secret is lost with an earlier one.
func withoutSecret(out *keyOutput, err error) (*keyOutput, error) {
	if err != nil {
		return nil, err
	}
	out.Body.SecretShown = new(false)
	return out, nil
}
