package loginapi

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"keyward/manage/gate"
	"keyward/verifier/strictjson"
)

// body is what a request says.
type body struct {
	members map[string]any
	Cookie  bool // the tokens are to be in cookies
}

// text returns a member that is a text; "" for none.
func (b body) text(name string) string {
	text, _ := b.members[name].(string)
	return text
}

// readBody reads the JSON of a request. Members that it does not know are left out, as clients
// of OAuth are used to. The media type is needed: a form of another site cannot have it.
func readBody(w http.ResponseWriter, hr *http.Request) (body, *problem) {
	if media, _, err := mime.ParseMediaType(hr.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return body{}, &problem{http.StatusUnsupportedMediaType, "media_type", "the body must be application/json"}
	}
	text, err := gate.ReadBody(w, hr, gate.MaxBody, gate.BodyTime)
	switch {
	case errors.Is(err, gate.ErrTooLarge):
		return body{}, &problem{http.StatusRequestEntityTooLarge, "too_large", err.Error()}
	case err != nil:
		return body{}, badRequest(err.Error())
	}
	return parseBody(text)
}

// parseBody reads the members that a request may have.
func parseBody(text []byte) (body, *problem) {
	members, err := strictjson.Object(text, strictjson.Limits{Depth: 4, Members: 32})
	if err != nil {
		return body{}, badRequest(err.Error())
	}
	sent := body{members: members}
	for _, name := range []string{"username", "password", "refresh_token"} {
		if v, there := members[name]; there {
			if _, is := v.(string); !is {
				return body{}, badRequest(name + " is not a text")
			}
		}
	}
	if v, there := members["cookie"]; there {
		var is bool
		if sent.Cookie, is = v.(bool); !is {
			return body{}, badRequest("cookie is neither true nor false")
		}
	}
	return sent, nil
}

// problem is an error that is not about a credential (RFC 9457).
type problem struct {
	status       int
	name, detail string
}

func badRequest(detail string) *problem {
	return &problem{http.StatusBadRequest, "malformed", detail}
}

func (p *problem) write(w http.ResponseWriter) {
	text, _ := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"https://keyward.dev/errors/" + p.name, http.StatusText(p.status), p.status, p.detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.status)
	_, _ = w.Write(text)
}

func writeJSON(w http.ResponseWriter, members map[string]string) {
	text, _ := json.Marshal(members)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
