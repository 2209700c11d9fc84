package oidclogin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"keyward/authz"
)

const (
	// CookieAge is how long after its beginning a login can be finished.
	CookieAge = 10 * time.Minute
	// leeway is how far the clocks of two machines may be apart.
	leeway = time.Minute
	// maxNext and maxCookie bound where a login leads, and its cookie, in bytes.
	maxNext   = 1024
	maxCookie = 2048
)

// Options are what a login is for.
type Options struct {
	// Next is the page of the console to which the login leads. One that is too long is
	// left out.
	Next string
	// Session is the id of the session whose user has to prove again who they are; "" is
	// a new login.
	Session string
	// Prove asks the provider to have the person log in again, whatever session it has
	// with the provider. That is so for a Session, too.
	Prove bool
}

// MustProve reports whether the person has to log in to the provider again.
func (o Options) MustProve() bool { return o.Prove || o.Session != "" }

// login is what a login has to remember, which is in the browser's cookie.
type login struct {
	secret [sha256.Size]byte // a random number
	begun  time.Time
	Options

	cookie string // all of this as text
}

// cookieText is the JSON in the cookie.
type cookieText struct {
	Secret  string `json:"r"`
	Begun   int64  `json:"t"` // seconds since 1970
	Next    string `json:"n,omitempty"`
	Session string `json:"s,omitempty"`
	Prove   bool   `json:"p,omitempty"`
}

var encoding = base64.RawURLEncoding.Strict()

func newLogin(random io.Reader, now time.Time, o Options) (*login, error) {
	l := &login{begun: now.Truncate(time.Second), Options: o}
	if _, err := io.ReadFull(random, l.secret[:]); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	if len(o.Next) > maxNext {
		l.Next = ""
	}
	text, err := json.Marshal(cookieText{encoding.EncodeToString(l.secret[:]), l.begun.Unix(), l.Next, l.Session, l.Prove})
	if err != nil {
		return nil, err
	}
	l.cookie = encoding.EncodeToString(text)
	return l, nil
}

// readLogin reads a cookie. The text of the cookie is what all that is derived from it
// depends on, so that another text for the same login is another login.
func readLogin(cookie authz.Secret) (*login, error) {
	text := cookie.Reveal()
	if text == "" || len(text) > maxCookie {
		return nil, fmt.Errorf("%w: no cookie", ErrExpired)
	}
	decoded, err := encoding.DecodeString(text)
	var c cookieText
	if err == nil {
		err = json.Unmarshal(decoded, &c)
	}
	var secret []byte
	if err == nil {
		secret, err = encoding.DecodeString(c.Secret)
	}
	if err != nil || len(secret) != sha256.Size || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: not a cookie of a login", ErrExpired)
	}
	return &login{
		secret: [sha256.Size]byte(secret), begun: time.Unix(c.Begun, 0), cookie: text,
		Options: Options{Next: c.Next, Session: c.Session, Prove: c.Prove},
	}, nil
}

// inTime reports whether the login can be finished now.
func (l *login) inTime(now time.Time) bool {
	age := now.Sub(l.begun)
	return age < CookieAge && age >= -leeway
}

// The parameters of the authorization request. None of them tells the cookie or another.
func (l *login) state() string        { return encoding.EncodeToString(l.derive("state")) }
func (l *login) nonce() string        { return encoding.EncodeToString(l.derive("nonce")) }
func (l *login) codeVerifier() string { return encoding.EncodeToString(l.derive("code_verifier")) }

// id is under what the login is marked as used.
func (l *login) id() [sha256.Size]byte { return [sha256.Size]byte(l.derive("id")) }

func (l *login) derive(what string) []byte {
	mac := hmac.New(sha256.New, l.secret[:])
	mac.Write([]byte(what + "\x00" + l.cookie))
	return mac.Sum(nil)
}

// Begin returns the URL at the provider to which the browser is sent, and the value of
// its cookie. The error is ErrUnavailable.
func (p *Provider) Begin(ctx context.Context, o Options) (to string, cookie authz.Secret, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	m, err := p.discover(ctx)
	if err != nil {
		return "", authz.Secret{}, err
	}
	l, err := newLogin(p.cfg.Rand, p.cfg.Now(), o)
	if err != nil {
		return "", authz.Secret{}, err
	}
	return m.authorizationURL(l), authz.NewSecret(l.cookie), nil
}
