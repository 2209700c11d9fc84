// Package issuerhttp is how Keyward asks the servers that issue tokens: with short
// timeouts, without cookies, and only at addresses to which the operator's URL may lead.
// Its errors quote nothing of what a server sent. What an answer means is for its
// callers.
package issuerhttp
