package api

import (
	"mime"
	"net/http"
	"strings"

	"keyward/manage/problem"
)

const (
	jsonType  = "application/json"
	patchType = "application/merge-patch+json" // RFC 7396
)

// acceptedTypes returns the media types that the body of a request may have.
func acceptedTypes(r *http.Request) []string {
	switch {
	case isImport(r):
		return []string{importType}
	case r.Method == http.MethodPatch:
		return []string{patchType, jsonType}
	default:
		return []string{jsonType}
	}
}

// checkMediaType refuses a body that is not said to be what the API would read it as:
// of another type, in another charset than UTF-8, or in a content coding. What it
// accepts is JSON to its operation.
func checkMediaType(r *http.Request) *problem.Problem {
	accepted := acceptedTypes(r)
	given, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := params["charset"]
	if err == nil && r.Header.Get("Content-Encoding") == "" && (!named || charset == "utf-8" || charset == "UTF-8") {
		for _, one := range accepted {
			if given == one {
				r.Header.Set("Content-Type", jsonType)
				return nil
			}
		}
	}
	return problem.New(problem.MediaType, "the body must be "+strings.Join(accepted, " or ")+", in UTF-8 and without a content coding")
}
