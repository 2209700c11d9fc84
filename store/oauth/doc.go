// Package oauth says with what an OAuth client may be registered: its grants, and the
// redirect URIs that codes are sent to. What two programs could read as different hosts
// it refuses. It opens no connection.
package oauth
