package importer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/store"
)

// Column is a column of a table of keys: which part of a record it is, and its
// name in the table's header row.
type Column struct{ Field, Header string }

// Fields that a column can be. One of a table's columns is the key.
var columnFields = []string{"key", "name", "user", "project", "scopes", "expires"}

// ParseColumns reads a list of columns separated by commas, each FIELD, or
// FIELD=HEADER if it has another name in the table.
func ParseColumns(list string) ([]Column, error) {
	var columns []Column
	for _, text := range strings.Split(list, ",") {
		field, header, renamed := strings.Cut(text, "=")
		if !renamed {
			header = field
		}
		switch {
		case !slices.Contains(columnFields, field) || header == "":
			return nil, fmt.Errorf("%w: a column is one of %s; where the table has another name for it, FIELD=NAME, as in key=Token", store.ErrInvalid, strings.Join(columnFields, ", "))
		case slices.ContainsFunc(columns, func(c Column) bool { return c.Field == field || c.Header == header }):
			return nil, fmt.Errorf("%w: the column %s is given twice", store.ErrInvalid, text)
		}
		columns = append(columns, Column{field, header})
	}
	if !slices.ContainsFunc(columns, func(c Column) bool { return c.Field == "key" }) {
		return nil, fmt.Errorf("%w: one of the columns must be the key", store.ErrInvalid)
	}
	return columns, nil
}

// readTable reads a table in CSV (RFC 4180). Columns that are not among f.Columns
// are left out. For an empty cell p counts.
func (f *KeyFormat) readTable(in io.Reader, p *store.KeyParams, read keyReader) ([]store.ImportedKey, error) {
	table := csv.NewReader(withoutMark(in))
	table.ReuseRecord = true
	header, err := table.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	var refused refusals
	places, err := f.places(header, err)
	if err != nil {
		refused.add(1, err)
		return nil, refused.err()
	}
	var all []store.ImportedKey
	for {
		cells, err := table.Read()
		if errors.Is(err, io.EOF) {
			return refused.orElse(all)
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			refused.add(wrong.StartLine, fmt.Errorf("%w: %w", store.ErrInvalid, wrong.Err))
			if errors.Is(err, csv.ErrFieldCount) {
				continue
			}
			return nil, refused.err() // where the next row begins is not known
		}
		if err != nil {
			return nil, fmt.Errorf("reading keys: %w", err)
		}
		line, _ := table.FieldPos(0)
		key, err := f.readRow(cells, places, p, read)
		key.Line = line
		all = append(all, key)
		refused.add(line, err)
	}
}

// places returns which of a row's cells each of the columns is.
func (f *KeyFormat) places(header []string, err error) ([]int, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: not a row of a table in CSV", store.ErrInvalid)
	}
	places := make([]int, len(f.Columns))
	for i, column := range f.Columns {
		places[i] = slices.Index(header, column.Header)
		if places[i] < 0 || slices.Contains(header[places[i]+1:], column.Header) {
			return nil, fmt.Errorf("%w: the first row must name the column %s once", store.ErrInvalid, column.Header)
		}
	}
	return places, nil
}

func (f *KeyFormat) readRow(cells []string, places []int, defaults *store.KeyParams, read keyReader) (store.ImportedKey, error) {
	p, key := *defaults, ""
	for i, column := range f.Columns {
		cell := cells[places[i]]
		if cell == "" {
			continue
		}
		switch column.Field {
		case "key":
			key = cell
		case "name":
			p.Name = cell
		case "user":
			p.User = cell
		case "project":
			p.Project = cell
		case "scopes":
			scopes := strings.Fields(cell)
			if _, err := authz.ParseScopes(scopes); err != nil { // which says what it stumbled over
				return store.ImportedKey{}, fmt.Errorf("%w: not a scope", store.ErrInvalid)
			}
			p.Scopes = &scopes
		case "expires":
			var err error
			if p.Expires, err = f.expiry(cell); err != nil {
				return store.ImportedKey{}, err
			}
		}
	}
	if err := p.Check(); err != nil {
		return store.ImportedKey{}, err
	}
	return read([]byte(key), &p)
}

// expiry reads a time, and repeats nothing of it.
func (f *KeyFormat) expiry(text string) (at time.Time, err error) {
	if f.Expires != nil {
		at, err = f.Expires(text)
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return at, fmt.Errorf("%w: expires is not a future time, as 90d or 2030-01-31T00:00:00Z", store.ErrInvalid)
	}
	return at.UTC(), nil
}
