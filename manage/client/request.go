package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"keyward/store/confusable"
)

// maxAnswer bounds an answer, in bytes. A list has at most 1000 records.
const maxAnswer = 32 << 20

// pauses are the times after which a request is sent again that had no answer.
var pauses = []time.Duration{200 * time.Millisecond, time.Second}

// request is one request of the API.
type request struct {
	method, path string // below /api/v1, escaped
	query        url.Values
	body         any    // JSON; nil: none
	lines        []byte // instead of body: JSON, one object per line
	ifMatch      string
	once         bool // of a POST: sent again, it is carried out once
}

// answer is a response whose body was read.
type answer struct {
	status int
	body   []byte
}

// call sends the request and decodes what the server answers; into may be nil.
func (c *Client) call(ctx context.Context, q request, into any) error {
	content, kind := q.lines, "application/x-ndjson"
	if q.body != nil {
		var err error
		kind = "application/json"
		if content, err = json.Marshal(q.body); err != nil {
			return err
		}
	}
	header := http.Header{"Accept": {"application/json, application/problem+json"}}
	if content != nil {
		header.Set("Content-Type", kind)
	}
	if q.ifMatch != "" {
		header.Set("If-Match", q.ifMatch)
	}
	if q.once {
		header.Set("Idempotency-Key", rand.Text())
	}
	a, err := c.send(ctx, q, header, content)
	if err != nil {
		return err
	}
	if a.status/100 != 2 {
		return c.problem(a)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return c.unexpected()
	}
	return nil
}

// unexpected is the error for an answer that is not one of the API. It quotes nothing.
func (c *Client) unexpected() error {
	return fmt.Errorf("unexpected response of %s: not the management API of a Keyward, or an incompatible version", c.Server())
}

// send sends the request, again if there is no answer and that cannot do it twice.
func (c *Client) send(ctx context.Context, q request, header http.Header, content []byte) (answer, error) {
	for _, wait := range pauses {
		a, err := c.attempt(ctx, q, header, content)
		if !q.repeatable() || !isTemporary(a, err) || ctx.Err() != nil {
			return a, err
		}
		if err := c.pause(ctx, wait); err != nil {
			return a, err
		}
	}
	return c.attempt(ctx, q, header, content)
}

// repeatable reports whether the request does the same if it is sent again.
func (q *request) repeatable() bool { return q.method == http.MethodGet || q.once }

// isTemporary reports whether the request is worth sending again: its answer was lost,
// so that the server may have carried it out, or the server cannot answer yet. A server
// that cannot be reached, or trusted, is not asked again.
func isTemporary(a answer, err error) bool {
	if err != nil {
		failed, _ := errors.AsType[*net.OpError](err)
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return (failed == nil || failed.Op != "dial") && !untrusted && !errors.Is(err, errAnswer)
	}
	return a.status >= http.StatusBadGateway && a.status <= http.StatusGatewayTimeout || a.status == http.StatusConflict && nameOf(a) == "idempotency_running"
}

// errAnswer is an answer that is refused, and would be the next time.
var errAnswer = errors.New("the answer is refused")

// attempt sends the request once.
func (c *Client) attempt(ctx context.Context, q request, header http.Header, content []byte) (answer, error) {
	target := c.base + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, bytes.NewReader(content))
	if err != nil {
		return answer{}, errors.New("the request cannot be made")
	}
	r.Header = header.Clone()
	r.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	response, err := c.http.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok { // its text has the URL, with what was searched for
			err = wrapped.Err
		}
		return answer{}, fmt.Errorf("no answer of %s: %w", c.Server(), c.hide(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("reading the answer of %s: %w", c.Server(), c.hide(err))
	case len(body) > maxAnswer:
		return answer{}, fmt.Errorf("%w: %s sends more than %d MiB", errAnswer, c.Server(), maxAnswer>>20)
	}
	return answer{response.StatusCode, body}, nil
}

// hiddenError is an error whose text is shown as what it is: what another program
// chose, and without the token.
type hiddenError struct {
	text string
	err  error
}

// Error implements error.
func (e hiddenError) Error() string { return e.text }

// Unwrap returns the error with its own text.
func (e hiddenError) Unwrap() error { return e.err }

func (c *Client) hide(err error) error { return hiddenError{c.shown(err.Error()), err} }

// shown returns a text of the server as it may be printed: without the token, and
// without what controls a terminal.
func (c *Client) shown(text string) string {
	return confusable.Shown(string(bytes.ReplaceAll([]byte(text), []byte(c.token.Reveal()), []byte("[secret]"))))
}
