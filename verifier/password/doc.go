// Package password bounds what strangers can make a server spend on password
// hashes: a [Pool] that has few computed at a time and lets nobody wait for long,
// [Processes] that compute them where they are in nobody's way, and [Attempts],
// which counts failed attempts by address, network and user. It knows no users
// and no hashes, and it never says by itself whether a password is right.
package password
