// Package stores has the commands about the database that has the records of all
// machines: its schema, and how records come into it and out of it. What they do is for
// packages below store.
package stores
