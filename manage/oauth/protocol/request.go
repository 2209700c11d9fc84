package protocol

import (
	"context"
	"net/http"
	"net/url"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/oauth"
	"keyward/store"
)

// exchange is one request on its way through the library, which hands it from one function
// to the next by the context alone.
type exchange struct {
	path   string
	call   access.Call
	form   url.Values    // as the guard has read it
	client *store.Client // authenticated; at the authorization endpoint, named
	basic  bool          // it was authenticated by HTTP Basic

	request     string // the authorization request as it came, which pages send back
	redirectURI string // where codes go, as the library compares it
	visit       visit  // at the authorization endpoint

	token  authz.Secret                    // that is presented: a code, a refresh token, or an access token
	issued oauth.Issuance                  // what the code or the refresh token is for
	scopes []string                        // that an access token may have
	used   bool                            // the code or the refresh token was used up
	wrong  *problem                        // that is answered in place of what the library says
	failed error                           // why nothing could be decided; the client learns only that
	page   func(http.ResponseWriter) error // that is answered at the authorization endpoint
}

type exchangeKey struct{}

// with returns the request with its exchange.
func (x *exchange) with(hr *http.Request) *http.Request {
	return hr.WithContext(context.WithValue(hr.Context(), exchangeKey{}, x))
}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// keepFailure keeps why the library could not answer, unless that is an answer of the
// protocol.
func keepFailure(ctx context.Context, err error) {
	x := exchangeOf(ctx)
	if x.wrong == nil && x.failed == nil && !isProtocolError(err) {
		x.failed = err
	}
}
