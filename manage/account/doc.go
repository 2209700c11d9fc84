// Package account is how a person comes in and goes: sessions with the console,
// one-time links, and the change of one's own password. What it changes of a user it
// has [manage.Service] change, which checks it and writes its audit entry.
package account
