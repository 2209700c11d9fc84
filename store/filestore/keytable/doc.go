// Package keytable has, of each key of a file, what lists select and order keys by, and
// where the key's last line is. It answers no question by itself: the line that it leads to
// does, and a row that leads to another key's line is an error.
package keytable
