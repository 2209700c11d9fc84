package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
	"keyward/store/importer"
)

// TestImportTells: the error names all refused lines by number and reason,
// without their content, and nothing is imported.
func TestImportTells(t *testing.T) {
	c := newJournalFixture(t)
	c.create(store.KeyParams{})
	before := c.lines()
	tooMany := strings.Repeat("bad|key\n", 12)
	for in, want := range map[string][]string{
		"good-key-1\n7|AbCdEfGh\nwith space\nwith\x01control\nsch\xf6n\n\nname,key,no\n": {
			"input line 2: invalid: no request can carry this key: it has a character other than", "input line 3: invalid: no request can carry this key: it has a space",
			"input line 4: invalid: no request can carry this key: it has a control character", "input line 5: invalid: no request can carry this key: it has a character that is not ASCII",
			"input line 7: invalid: no request can carry this key: it has a comma or a semicolon, as a row of a table has"},
		strings.Repeat("x", 8192) + "\n" + strings.Repeat("x", 8193): {"input line 2: invalid: no request can carry this key: it is longer"},
		"\n\n" + strings.Repeat("x", 1<<20+1):                        {"input line 3: invalid: longer than 1 MiB"},
		tooMany:                                                      {"input line 1:", "input line 10:", "and 2 more lines"},
	} {
		_, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader(in), store.KeyParams{})
		if !errors.Is(err, store.ErrInvalid) || c.lines() != before {
			t.Fatalf("%.20q: %v, %d lines", in, err, c.lines())
		}
		if got := strings.Split(err.Error(), "\n"); len(want) > 3 && len(got) != len(want) {
			t.Errorf("%d lines are reported: %v", len(got), err)
		}
		for _, each := range want {
			if !strings.Contains(err.Error(), each) {
				t.Errorf("%q is not in: %v", each, err)
			}
		}
		for _, secret := range []string{"AbCdEfGh", "good", "with", "sch", "xxxx", "bad"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the line: %v", err)
			}
		}
	}
	if all, err := importInto(c.changedKeys, importer.KeyFormat{InBasic: true}, strings.NewReader("7|AbCdEfGh\n schön \n"), store.KeyParams{}); err != nil || len(all) != 2 {
		t.Errorf("keys that Basic credentials carry: %v %v", all, err)
	}
	if all, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader("\ufeffmarked-key-1\r\n"), store.KeyParams{}); err != nil || len(all) != 1 {
		t.Errorf("a byte order mark: %v %v", all, err)
	}
	if _, err := c.FindBySecret(context.Background(), authz.NewSecret("marked-key-1")); err != nil {
		t.Errorf("the key behind a byte order mark: %v", err)
	}
}

func TestImportTable(t *testing.T) {
	c := newJournalFixture(t)
	columns, err := importer.ParseColumns("name,key=Token,user,expires,scopes,project")
	if err != nil {
		t.Fatal(err)
	}
	table := "\ufeffname,Token,description,user,expires,scopes,project\r\n" +
		"web,key-number-1,\"of the\nfirst, kind\",alice,2040-01-31T00:00:00+02:00,read write,p1\r\n" +
		"\"a \"\"b\"\"\",key-number-2,,,,,\r\n"
	scopes := []string{"own"}
	all, err := importInto(c.changedKeys, importer.KeyFormat{Columns: columns}, strings.NewReader(table), store.KeyParams{Name: "n", User: "u", Scopes: &scopes})
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	first, second := all[0], all[1]
	if first.Name != "web" || first.User != "alice" || first.Project != "p1" || fmt.Sprint(*first.Scopes) != "[read write]" || !first.Expires.Equal(time.Date(2040, 1, 30, 22, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", first)
	}
	if second.Name != `a "b"` || second.User != "u" || second.Project != "" || fmt.Sprint(*second.Scopes) != "[own]" || !second.Expires.IsZero() {
		t.Errorf("%+v", second)
	}
	if r, err := c.FindBySecret(context.Background(), authz.NewSecret("key-number-1")); err != nil || r.ID != first.ID {
		t.Errorf("%+v %v", r, err)
	}
}

// TestImportTableRefused: nothing of a table with a row at fault is imported,
// and no error repeats what a cell holds.
func TestImportTableRefused(t *testing.T) {
	c := newJournalFixture(t)
	c.create(store.KeyParams{})
	before := c.lines()
	columns, err := importer.ParseColumns("key,name,user,scopes,expires")
	if err != nil {
		t.Fatal(err)
	}
	const head = "key,name,user,scopes,expires\nfine-secret-1,n,u,,\n"
	for in, want := range map[string]string{
		"secret-1,n,u,,\n": "input line 1: invalid: the first row must name the column key once",
		"key,name,user,scopes,expires,key\na,b,c,d,e,f\n": "input line 1: invalid: the first row must name the column",
		head + "secret-2,n,u\n":                           "input line 3: invalid: wrong number of fields",
		head + "secret-2,n,u,,,\nsecret 3,n,u,,\n":        "input line 4: invalid: no request can carry this key: it has a space",
		head + "sec\"ret-2,n,u,,\n":                       "input line 3: invalid: bare",
		head + "\"secret-2,n,u,,\n":                       "input line 3: invalid: ",
		head + ",n,u,,\n":                                 "input line 3: invalid: no request can carry this key: it is empty",
		head + "\"se\ncret-2\",n,u,,\nsecret-3,n,k_u,,\n": "input line 5: invalid: a user's name must not begin with",
		head + "secret-2,n,se\u200bcret,,\n":              "input line 3: invalid: a user's name must not have hidden characters",
		head + "secret-2,n,se\u0301cret,,\n":              "input line 3: invalid: a user's name must be in Unicode's composed form",
		head + "secret-2,n,u,sec\"ret,\n":                 "input line 3: invalid: ",
		head + "secret-2,n,u,\"sec\"\"ret\",\n":           "input line 3: invalid: not a scope",
		head + "secret-2,n,u,,secret\n":                   "input line 3: invalid: expires is not a future time",
		head + "\nfine-secret-1,n,u,,\n":                  "input line 4: the key of line 2 again",
	} {
		_, err := importInto(c.changedKeys, importer.KeyFormat{Columns: columns}, strings.NewReader(in), store.KeyParams{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sec") || c.lines() != before {
			t.Errorf("%q: %v; want %s", in, err, want)
		}
	}
	for _, list := range []string{"", "name", "key,key", "key,name=key", "key,nmae", "key,name=", "key, name"} {
		if columns, err := importer.ParseColumns(list); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: %v %v", list, columns, err)
		}
	}
}

// importInto takes over what the input has.
func importInto(f *changedKeys, format importer.KeyFormat, in io.Reader, p store.KeyParams) ([]store.KeyRecord, error) {
	keys, err := format.Read(in, p, f.hasher)
	if err != nil {
		return nil, err
	}
	return f.Import(context.Background(), keys)
}

func importHtpasswd(f *changedUsers, in io.Reader) ([]store.UserRecord, error) {
	users, err := importer.ReadHtpasswd(in)
	if err != nil {
		return nil, err
	}
	return f.Import(context.Background(), users)
}
