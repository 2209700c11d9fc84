// Package password bounds the work on password hashes that unauthenticated
// clients can cause. It has a [Pool] that computes few at a time and keeps no
// caller waiting for long, [WorkerProcesses] that compute them at low priority
// outside the server, and [Attempts], which counts failed attempts by address,
// network and user. It knows no users and no hash format, and never decides by
// itself whether a password is right.
package password
