package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"keyward/chars"
	"keyward/store"
)

// output has the flag of every command that prints.
type output struct {
	JSON bool `name:"json" help:"Print JSON: an object, or an array for lists."`
}

// print prints v as JSON if the flag is set, and otherwise what text prints. An
// error means that the output is incomplete.
func (o output) print(env *environment, v any, text func(io.Writer)) error {
	w := bufio.NewWriter(env.stdout)
	if o.JSON {
		if err := writeJSON(w, v); err != nil {
			return err
		}
	} else {
		text(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(chars.EscapeHidden(text.Bytes()))
	return err
}

// table prints rows in aligned columns; the first row is the heading.
func table(w io.Writer, rows func(row func(cells ...any))) {
	columns := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(columns, "\t")
			}
			fmt.Fprint(columns, cell)
		}
		fmt.Fprintln(columns)
	})
	_ = columns.Flush() // w returns an error again at its own Flush
}

// instant formats a time for people; a dash for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// orDash returns s as it is shown, or a dash if it is empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return store.Shown(s)
}

// quoted returns s in quotes, and in ASCII if its characters could mislead.
func quoted(s string) string {
	if shown := store.Shown(s); shown != s {
		return shown
	}
	return strconv.Quote(s)
}

// warnOfScripts warns that a new name has letters of several scripts, which may
// look alike. An empty name has none.
func (e *environment) warnOfScripts(what, name string) {
	if scripts := store.MixedScripts(name); scripts != nil {
		e.note("note: %s %s has letters of %s, some of which look alike: it is %s", what, quoted(name), strings.Join(scripts, " and "), strconv.QuoteToASCII(name))
	}
}
