package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store/audit"
	"keyward/verifier/strictjson"
)

// idempotencyHeader names a request of a caller: a request that is sent again under
// the same name is carried out once.
const idempotencyHeader = "Idempotency-Key"

// idempotent reports whether a request is one that is carried out once: a POST with
// the header. Passwords are neither compared nor kept, so their endpoints have none.
func idempotent(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get(idempotencyHeader) != "" && !strings.HasSuffix(r.URL.Path, "/password")
}

// serveOnce serves a request with an Idempotency-Key: it carries it out, or answers
// as the first time, but without the secret.
func (a *api) serveOnce(w http.ResponseWriter, r *http.Request, c *call, body []byte) {
	attempt, err := a.begin(r, c.actor, body)
	switch {
	case errors.Is(err, state.ErrRunning):
		newProblem(idempotencyRunning, "a request with this Idempotency-Key is being carried out").write(w)
	case errors.Is(err, state.ErrReused):
		newProblem(idempotencyReused, "this Idempotency-Key belongs to another request").write(w)
	case errors.Is(err, state.ErrInvalid):
		newProblem(manage.Invalid, "the Idempotency-Key has more than 255 bytes").write(w)
	case errors.Is(err, state.ErrFull):
		newProblem(manage.RateLimited, "too many Idempotency-Keys of this caller within a day").write(w)
	case err != nil:
		a.Log.Error("idempotency key cannot be stored", "error", err)
		newProblem(manage.StoreUnavailable, "").write(w)
	case attempt.Answer != nil:
		if p := a.authorizeAgain(r, c); p != nil {
			p.write(w)
			return
		}
		replay(w, attempt.Answer)
	default:
		a.carryOut(w, r, c, attempt)
	}
}

// authorizeAgain returns why the caller may not ask for what was carried out: perhaps by another
// key of its user, or when the key was permitted more. It changes nothing.
func (a *api) authorizeAgain(r *http.Request, c *call) *Problem {
	c.refused = newProblem(internal, "") // where no operation is reached
	a.serve(&headOnly{header: http.Header{}}, r.WithContext(manage.DryRun(r.Context())))
	return c.refused
}

// authorized keeps whether the caller may ask for an operation, which returned err.
func (c *call) authorized(err error) {
	c.refused = nil
	if e := manage.AsError(err); err != nil && (e == nil || !e.Permitted()) {
		c.refused = asProblem(err)
	}
}

// begin starts the operation, under an id for the record that it may make. The caller is
// the user, whichever of its keys is presented, or a key without a user.
func (a *api) begin(r *http.Request, actor access.Actor, body []byte) (state.Attempt, error) {
	id, err := apikey.NewID(rand.Reader)
	if err != nil {
		return state.Attempt{}, err
	}
	return a.State().Idempotency.Begin(r.Context(), state.Operation{
		Caller: actor.Name(), Key: r.Header.Get(idempotencyHeader), Digest: digestOf(r, body), RecordID: id.String(),
	})
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

// carryOut serves the request and keeps its answer. What was refused may be sent
// again, and so may what failed: then it is not known whether it was done, and the
// next attempt finds out.
func (a *api) carryOut(w http.ResponseWriter, r *http.Request, c *call, attempt state.Attempt) {
	c.recordID, c.resumed, c.actor = attempt.RecordID, attempt.Resumed, c.actor.During(attempt.RecordID)
	answer := &keptAnswer{ResponseWriter: w}
	ended := false
	ctx := context.WithoutCancel(r.Context()) // the client may be gone
	defer func() {
		if !ended {
			_ = a.State().Idempotency.Release(ctx, attempt)
		}
	}()
	a.serve(answer, r)
	var err error
	switch {
	case answer.status/100 == 2:
		err = a.State().Idempotency.Finish(ctx, attempt, answer.encode())
	case answer.status < 500:
		err = a.State().Idempotency.Abandon(ctx, attempt)
	default:
		return
	}
	if ended = err == nil; !ended {
		a.Log.Error("the answer to a request with an Idempotency-Key is not kept", "error", err)
	}
}

// madeBefore returns the entries of what earlier attempts of the request changed.
func (a *api) madeBefore(ctx context.Context) ([]audit.Entry, error) {
	c := callOf(ctx)
	if c == nil || !c.resumed {
		return nil, nil
	}
	return a.Service().Made(ctx, c.actor)
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

// keptAnswer passes a response on and keeps it.
type keptAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (k *keptAnswer) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (k *keptAnswer) Write(p []byte) (int, error) {
	k.body.Write(p)
	return k.ResponseWriter.Write(p)
}

// storedAnswer is a response as it is stored. It never has a secret.
type storedAnswer struct {
	Status int             `json:"status"`
	ETag   string          `json:"etag,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// secretMembers are the members of responses that show a secret.
var secretMembers = []string{"key", "secret", "link"}

// encode returns the answer without its secrets. A body that is not an object is not
// stored: what it has is not known.
func (k *keptAnswer) encode() []byte {
	stored := storedAnswer{Status: k.status, ETag: k.Header().Get("ETag")}
	var members map[string]json.RawMessage
	if json.Unmarshal(k.body.Bytes(), &members) == nil && members != nil {
		for _, name := range secretMembers {
			if _, shown := members[name]; shown {
				delete(members, name)
				members["secret_shown"] = json.RawMessage("false")
			}
		}
		stored.Body, _ = json.Marshal(members) // of what was just decoded
	}
	text, _ := json.Marshal(stored)
	return text
}

// replay writes a stored answer.
func replay(w http.ResponseWriter, text []byte) {
	var stored storedAnswer
	if json.Unmarshal(text, &stored) != nil {
		newProblem(internal, "").write(w)
		return
	}
	if stored.ETag != "" {
		w.Header().Set("ETag", stored.ETag)
	}
	if stored.Body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(stored.Status)
	_, _ = w.Write(stored.Body)
}
