// Package session has what a browser's session with the console needs on the wire: the
// cookie, the verifier of its value, and where a request must come from and go to. It
// decides nothing about what the session's user may do.
package session
