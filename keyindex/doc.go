// Package keyindex holds the keys, users and revocations that are in force, in
// memory: what a check asks. A feed of a store keeps [Keys], [Users] and
// [Revocations] up to date.
//
// An answer takes nanoseconds and waits for no writer. A key takes some 140
// bytes, which the garbage collector does not walk. The package reads no file,
// and it does not know which store its records come from.
package keyindex
