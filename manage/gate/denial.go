package gate

import "net/http"

// Denial is why a caller was not authenticated.
type Denial struct {
	Status     int // HTTP
	Detail     string
	DecisionID string      // under which the log has it
	Header     http.Header // such as WWW-Authenticate and Retry-After
}
