package fault

import (
	"errors"
	"fmt"
)

// maxLines bounds how many lines an error names; all are counted.
const maxLines = 100

// LineErrors collects what is wrong with the lines of an input, so that all of it is
// said at once.
type LineErrors struct {
	fields []FieldError
	causes []error
	lines  int
}

// Add adds what is wrong with a line; a nil error is nothing. The member x of line 3 is
// /line/3/x.
func (l *LineErrors) Add(line int, err error) {
	if err == nil {
		return
	}
	if l.lines++; l.lines > maxLines {
		return
	}
	e := AsError(Of(err))
	for _, f := range e.Fields {
		l.fields = append(l.fields, FieldError{fmt.Sprintf("/line/%d%s", line, f.Pointer), f.Detail})
	}
	l.causes = append(l.causes, fmt.Errorf("input line %d: %w", line, e.Cause))
}

// Err returns all of it as an Error, nil if nothing is wrong.
func (l *LineErrors) Err() error {
	if l.lines == 0 {
		return nil
	}
	causes := l.causes
	if more := l.lines - maxLines; more > 0 {
		causes = append(causes, fmt.Errorf("and %d more lines", more))
	}
	return &Error{Code: Invalid, Detail: fmt.Sprintf("%d lines cannot be imported", l.lines), Fields: l.fields, Cause: errors.Join(causes...)}
}

// InvalidMembers returns the Error of members that a caller sent and that cannot be
// accepted.
func InvalidMembers(fields ...FieldError) error { return (&Problems{fields}).Err() }
