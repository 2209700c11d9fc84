package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestTargets: a request target that is not a path of the API gets a problem, in whichever
// form it is (RFC 9112 section 3.2).
func TestTargets(t *testing.T) {
	c := startConsole(t)
	for line, want := range map[string]string{
		"OPTIONS *":                           "malformed",
		"GET *":                               "malformed",
		"OPTIONS /api/v1/keys":                "method_not_allowed",
		"TRACE /api/v1/keys":                  "method_not_allowed",
		"CONNECT 127.0.0.1:443":               "malformed",
		"CONNECT /api/v1/me":                  "method_not_allowed",
		"GET http://127.0.0.1/api/v1/nothing": "malformed",
		"GET http://127.0.0.1":                "malformed",
		"GET /api":                            "not_found",
		"GET /api/v1":                         "not_found",
		"GET /api/v1/me/":                     "not_found",
		"GET //api/v1/me":                     "malformed",
		"GET /api/v1//me":                     "malformed",
		"GET /api/v1/./me":                    "malformed",
		"GET /api/v1/keys/../me":              "malformed",
		"GET /api/v1/%6De":                    "malformed",
		"GET /api/v1/keys/%2e%2e/me":          "malformed",
	} {
		for _, key := range []string{c.admin, ""} {
			want := want
			if key == "" && want != "malformed" {
				want = "unauthenticated"
			}
			conn, err := net.Dial("unix", c.path("console.sock"))
			if err != nil {
				t.Fatal(err)
			}
			credential := ""
			if key != "" {
				credential = "Authorization: Bearer " + key + "\r\n"
			}
			_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sConnection: close\r\n\r\n", line, credential)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			text, _ := io.ReadAll(answer.Body)
			_ = conn.Close()
			var problem struct{ Type string }
			err = json.Unmarshal(text, &problem)
			if err != nil || answer.Header.Get("Content-Type") != "application/problem+json" || strings.TrimPrefix(problem.Type, "https://keyward.dev/errors/") != want {
				t.Errorf("%s (key: %v): %d %v %q, want %s", line, key != "", answer.StatusCode, answer.Header, text, want)
			}
		}
	}
}
