// Package api serves the management API: keys, users, projects and the audit log under
// /api/v1/, and its OpenAPI 3.1 document at /api/openapi.json. It holds no rule about
// who may do what: it authenticates the caller, reads the request strictly, calls
// [manage.Service], and renders the answer. An error is a problem of RFC 9457.
//
// It accepts JSON only, sends no CORS header, and has a secret in the one answer that
// shows it.
package api
