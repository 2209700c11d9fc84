package command

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
	"keyward/store/confusable"
)

// Output has the flag of every command that prints.
type Output struct {
	JSON bool `name:"json" help:"Print JSON: an object, or an array for lists."`
}

// Print prints v as JSON if the flag is set, and otherwise what text prints. An
// error means that the output is incomplete.
func (o Output) Print(env *Env, v any, text func(io.Writer)) error {
	w := bufio.NewWriter(env.Stdout)
	if o.JSON {
		if err := WriteJSON(w, v); err != nil {
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

// WriteJSON writes v as one line of JSON without hidden characters.
func WriteJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(chars.EscapeHidden(text.Bytes()))
	return err
}

// Table prints rows in aligned columns; the first row is the heading.
func Table(w io.Writer, rows func(row func(cells ...any))) {
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

// Instant formats a time for people; a dash for none.
func Instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// OrDash returns s as it is shown, or a dash if it is empty.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return confusable.Shown(s)
}

// Quoted returns s in quotes, and in ASCII if its characters could mislead.
func Quoted(s string) string {
	if shown := confusable.Shown(s); shown != s {
		return shown
	}
	return strconv.Quote(s)
}

// WarnOfScripts warns that a new name has letters of several scripts, which may
// look alike. An empty name has none.
func (e *Env) WarnOfScripts(what, name string) {
	if scripts := confusable.MixedScripts(name); scripts != nil {
		e.Note("note: %s %s has letters of %s, some of which look alike: it is %s", what, Quoted(name), strings.Join(scripts, " and "), strconv.QuoteToASCII(name))
	}
}
