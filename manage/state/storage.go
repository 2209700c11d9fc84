package state

import (
	"context"
	"database/sql"
)

// storage is the database that has the state: SQLite's file, or Postgres.
type storage interface {
	// reader returns what reads, until done is called. It waits for no change.
	reader(ctx context.Context) (q queries, done context.CancelFunc)
	// begin begins a transaction beside which no other one changes the state, in any
	// process: what it reads stays true until it ends.
	begin(ctx context.Context, survives durability) (*transaction, error)
	dialect() *dialect
	close() error
}

// dialect is how one of the databases is spoken to.
type dialect struct {
	// translate returns a statement and its arguments as the database takes them.
	translate func(statement string, args []any) (string, []any)
	// keepEntry is the statement that keeps the number of an entry of the audit log.
	keepEntry string
	// dropEntries is the statement that removes a batch of numbers of which none is
	// asked for any more, or empty.
	dropEntries string
}

// queries executes statements, in a transaction or without one. They are written once
// for both databases: with parameters ?1, ?2, and so on, the names of tables that
// Postgres has, the names of columns that SQLite has, and what both understand.
type queries struct {
	ctx context.Context
	on  interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	dialect *dialect
}

// row executes a statement that returns at most one row.
func (q queries) row(statement string, args ...any) *sql.Row {
	statement, args = q.dialect.translate(statement, args)
	return q.on.QueryRowContext(q.ctx, statement, args...)
}

// rows executes a statement that returns rows.
func (q queries) rows(statement string, args ...any) (*sql.Rows, error) {
	statement, args = q.dialect.translate(statement, args)
	return q.on.QueryContext(q.ctx, statement, args...)
}

// collect reads the rows of a statement.
func collect[T any](q queries, read func(interface{ Scan(dest ...any) error }) (T, error), statement string, args ...any) (all []T, err error) {
	rows, err := q.rows(statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// exec executes a statement that changes rows, and returns how many.
func (q queries) exec(statement string, args ...any) (int, error) {
	statement, args = q.dialect.translate(statement, args)
	result, err := q.on.ExecContext(q.ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// transaction is a change in progress. It ends with commit or rollback.
type transaction struct {
	queries
	commit   func() error
	rollback func()
	// owner is that of the attempts which the transaction begins. ended reports whether
	// the attempts of an owner may be taken over.
	owner int64
	ended func(owner int64) bool
}

// durability is what a change must survive.
type durability bool

const (
	processExit durability = false // kill -9 of the process
	powerCut    durability = true
)
