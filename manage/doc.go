// Package manage decides who may create, change and revoke keys and users, and makes
// the change. The management API, the commands, the console and the issuer call
// [Service] and hold no rules of their own: what an actor may do, what a record may
// say, and the audit entry of the change stand in one place that none of them can
// bypass.
//
// The package opens no socket and no file, and authenticates no one: an
// [access.Actor] is made of a key or session whose credential was verified. It never has a
// secret but in the answer of the call that made it.
package manage
