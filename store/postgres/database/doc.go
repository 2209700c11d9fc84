// Package database is the Postgres database that several machines share: how programs
// connect, which schema and which pepper it has, and what its errors mean. What is in its
// tables is for the packages that use it.
package database
