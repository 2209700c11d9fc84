// Package password bounds what strangers can make a server spend on password
// hashes: a [Pool] that computes few at a time and lets nobody wait for long,
// and [Attempts], which counts failed attempts by address, network and user.
// It knows no users and no hashes, and it never says whether a password is right.
package password
