package postgres

import (
	"context"

	"keyward/store"
	"keyward/store/postgres/database"
)

// userReader reads users, without the hashes of their passwords.
type userReader struct {
	reader[store.UserRecord, store.UserFilter]
}

// Ended implements store.UserReader.
func (u *userReader) Ended(ctx context.Context) (store.EndedUsers, error) {
	users, err := u.query.lines(ctx, u.store.db.Pool, `SELECT line FROM user_record WHERE ended`)
	if err != nil {
		return nil, err
	}
	ended := make(store.EndedUsers, len(users))
	for i := range users {
		ended[users[i].Name] = users[i].EndedAt()
	}
	return ended, nil
}

// succeedEnded carries over what has ended for the names by their records before: what
// ended with a deleted user is not the next one's of that name.
func succeedEnded(t *recordTx[store.UserRecord]) error {
	names := make([]string, 0, len(t.puts))
	for _, r := range t.puts {
		names = append(names, database.Storable(r.Name))
	}
	before, err := t.lines(`SELECT line FROM user_record WHERE id = ANY($1::text[])`, names)
	if err != nil {
		return err
	}
	of := make(map[string]*store.UserRecord, len(before))
	for i := range before {
		of[before[i].Name] = &before[i]
	}
	for _, r := range t.puts {
		if earlier := of[r.Name]; earlier != nil {
			r.Succeed(earlier)
		}
	}
	return nil
}
