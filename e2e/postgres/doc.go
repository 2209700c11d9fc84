// Package postgres tests what happens to real Keywards when their real Postgres fails:
// two that check and one with a console, under load all the time.
package postgres
