package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keyward/manage/access"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// connection is a response whose connection has a read deadline.
type connection struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

// SetReadDeadline is for http.ResponseController.
func (c *connection) SetReadDeadline(at time.Time) error {
	c.deadline = at
	return nil
}

// TestNoReadDeadline: an operation runs without a deadline for reading. net/http would
// cancel the requests of the connection at that time, later ones included.
func TestNoReadDeadline(t *testing.T) {
	mux := http.NewServeMux()
	conn := &connection{ResponseRecorder: httptest.NewRecorder(), deadline: time.Now()}
	ran := false
	add(humago.New(mux, huma.DefaultConfig("test", "1")), operation{id: "change", method: http.MethodPost, path: "/change"},
		func(context.Context, access.Actor, *struct{ Body struct{} }) (*struct{}, error) {
			if ran = true; !conn.deadline.IsZero() {
				t.Errorf("while it runs: %v", conn.deadline)
			}
			return nil, nil
		})
	r := httptest.NewRequest(http.MethodPost, apiPath+"/change", strings.NewReader("{}"))
	r.Header.Set("Content-Type", jsonType)
	mux.ServeHTTP(conn, r)
	if !ran || !conn.deadline.IsZero() {
		t.Errorf("ran: %t, and then: %v, %s", ran, conn.deadline, conn.Body)
	}
}
