package postgres

import (
	"strings"
	"time"

	"keyward/apikey"
	"keyward/chars"
	"keyward/store"
	"keyward/store/jsonline"
	"keyward/store/postgres/database"
)

func keyKind() *kind[store.KeyRecord] {
	return &kind[store.KeyRecord]{
		name: "key", table: "key_record",
		decode: func(line []byte) (*store.KeyRecord, error) {
			var d store.KeyDecoder
			return d.Decode(line)
		},
		clone:    (*store.KeyRecord).Clone,
		position: func(r *store.KeyRecord) store.Position { return store.Position{Made: r.Created, ID: r.ID} },
		deleted:  func(r *store.KeyRecord) time.Time { return r.Deleted },
		valid: func(id string) bool {
			_, ok := apikey.ParseID([]byte(id))
			return ok
		},
		seq:    func(r *store.KeyRecord) *int64 { return &r.Seq },
		encode: (*store.KeyRecord).Line,
		columns: []column[store.KeyRecord]{
			textColumn("user_name", func(r *store.KeyRecord) string { return r.User }),
			textColumn("project", func(r *store.KeyRecord) string { return r.Project }),
		},
	}
}

// keyConditions select the keys of a user, of a project, with some ids, and whose line has a
// text, and with replaced secrets. A line has more than the name, and the filter decides.
var keyConditions = conditions[store.KeyFilter]{
	where: ` AND ($6 = '' OR user_name = $6::text) AND ($7 = '' OR project = $7::text) AND ($8::text[] IS NULL OR id = ANY($8::text[])) AND ($9 = '' OR strpos(line, $9::text) > 0)
		AND (NOT $10::boolean OR strpos(line, '"previous":') > 0)`,
	args: func(f *store.KeyFilter) []any {
		var ids []string
		if f.IDs != nil {
			ids = []string{}
		}
		for id := range f.IDs {
			ids = append(ids, database.Storable(id))
		}
		return []any{database.Storable(f.User), database.Storable(f.Project), ids, asWritten(f.Text), f.Rotating}
	},
}

// asWritten returns a text that a line has as it is, whichever way of writing JSON was
// taken; "" for one that may be escaped there.
func asWritten(text string) string {
	for _, c := range []byte(text) {
		if !chars.Alphanumeric.Is(c) && strings.IndexByte(" -_.:", c) < 0 {
			return ""
		}
	}
	return text
}

func userKind() *kind[store.UserRecord] {
	return &kind[store.UserRecord]{
		name: "user", table: "user_record",
		decode: func(line []byte) (*store.UserRecord, error) {
			var d store.UserDecoder
			return d.Decode(line)
		},
		clone:    (*store.UserRecord).Clone,
		position: func(r *store.UserRecord) store.Position { return store.Position{Made: r.Created, ID: r.Name} },
		deleted:  func(r *store.UserRecord) time.Time { return r.Deleted },
		valid:    store.ValidUserName,
		seq:      func(r *store.UserRecord) *int64 { return &r.Seq },
		encode:   (*store.UserRecord).Line,
		columns: []column[store.UserRecord]{
			newColumn("ended", "boolean", func(w *written[store.UserRecord]) bool { return !w.record.EndedAt().IsZero() }),
		},
	}
}

func projectKind() *kind[store.Project] {
	return &kind[store.Project]{
		name: "project", table: "project",
		decode: func(line []byte) (*store.Project, error) {
			var d store.ProjectDecoder
			return d.Decode(line)
		},
		clone:    (*store.Project).Clone,
		position: func(r *store.Project) store.Position { return store.Position{Made: r.Created, ID: r.Name} },
		deleted:  func(r *store.Project) time.Time { return r.Deleted },
		valid:    validText,
		seq:      func(r *store.Project) *int64 { return &r.Seq },
		encode:   (*store.Project).Line,
	}
}

func clientKind() *kind[store.Client] {
	return &kind[store.Client]{
		name: "client", table: "client",
		decode: func(line []byte) (*store.Client, error) {
			var d store.ClientDecoder
			return d.Decode(line)
		},
		clone:    (*store.Client).Clone,
		position: func(r *store.Client) store.Position { return store.Position{Made: r.Created, ID: r.ID} },
		deleted:  func(r *store.Client) time.Time { return r.Deleted },
		valid:    store.ValidClientID,
		seq:      func(r *store.Client) *int64 { return &r.Seq },
		encode:   (*store.Client).Line,
	}
}

func revocationKind() *kind[store.Revocation] {
	return &kind[store.Revocation]{
		name: "revocation", table: "revocation", many: true,
		decode: func(line []byte) (*store.Revocation, error) {
			var d store.RevocationDecoder
			return d.Decode(line)
		},
		clone:    func(r *store.Revocation) store.Revocation { return *r },
		position: (*store.Revocation).Position,
		deleted:  func(*store.Revocation) time.Time { return time.Time{} },
		valid:    func(string) bool { return false },
		seq:      func(r *store.Revocation) *int64 { return &r.Seq },
		encode:   (*store.Revocation).Line,
		columns: []column[store.Revocation]{
			textColumn("token_id", func(r *store.Revocation) string { return r.TokenID }),
			textColumn("session_id", func(r *store.Revocation) string { return r.SessionID }),
			textColumn("subject", func(r *store.Revocation) string { return r.Subject }),
			newColumn("ends", "timestamptz", endOf),
		},
	}
}

// endOf returns from when the revocation is left out; nil if it stays.
func endOf(w *written[store.Revocation]) *time.Time {
	end := w.record.Ends()
	if end.IsZero() {
		return nil
	}
	return &end
}

// revocationConditions select the revocations of a token, a session and a subject.
var revocationConditions = conditions[store.RevocationFilter]{
	where: ` AND ($6 = '' OR token_id = $6::text) AND ($7 = '' OR session_id = $7::text) AND ($8 = '' OR subject = $8::text)`,
	args: func(f *store.RevocationFilter) []any {
		return []any{database.Storable(f.TokenID), database.Storable(f.SessionID), database.Storable(f.Subject)}
	},
}

func validText(text string) bool { return text != "" && jsonline.ValidText([]byte(text)) }
