package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listed is an index of lines.
type listed struct {
	lines  []string
	refs   []LineRef
	resets int
}

func (l *listed) Reset() { *l = listed{resets: l.resets + 1} }

func (l *listed) Add(line []byte, at LineRef) {
	l.lines, l.refs = append(l.lines, string(line)), append(l.refs, at)
}

// followedUp is a file that is read again and again.
type followedUp struct {
	*fixture
	progress Progress
	into     listed
}

var errHeader = errors.New("another header")

func newFollowedUp(t *testing.T, content string) *followedUp {
	f := &followedUp{fixture: newFixture(t, content)}
	check := func(first []byte) error {
		if string(first) != "header" {
			return errHeader
		}
		return nil
	}
	f.progress.Lines = &Lines{Writer: *f.w, Header: Header{Line: []byte("header\n"), Check: check}}
	return f
}

// advance reads to the end.
func (f *followedUp) advance() error {
	for {
		if done, err := f.progress.Advance(f.t.Context(), &f.into); done || err != nil {
			return err
		}
	}
}

// wantLines reads to the end, and holds the lines, and how often all were read, to
// what is wanted.
func (f *followedUp) wantLines(what string, resets int, lines ...string) {
	f.t.Helper()
	if err := f.advance(); err != nil || !slices.Equal(f.into.lines, lines) || f.into.resets != resets {
		f.t.Errorf("%s: %.40q, read %d times, %v; want %.40q, %d times", what, f.into.lines, f.into.resets, err, lines, resets)
	}
	for i, at := range f.into.refs {
		if line, err := f.progress.ReadLine(at, nil); err != nil || string(line) != f.into.lines[i] || at.Number != i+2 {
			f.t.Errorf("%s: at %+v is %.40q, %v; want %.40q", what, at, line, err, f.into.lines[i])
		}
	}
}

func (f *followedUp) add(text string) {
	f.t.Helper()
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		f.t.Fatal(err)
	}
}

// touch sets the time of the file's last write.
func (f *followedUp) touch(at time.Time) {
	f.t.Helper()
	if err := os.Chtimes(f.path, at, at); err != nil {
		f.t.Fatal(err)
	}
}

func TestProgressReadsWhatWasAppended(t *testing.T) {
	f := newFollowedUp(t, "header\none\n")
	f.wantLines("all", 1, "one")
	f.wantLines("nothing new", 1, "one")
	f.add("two\nthr")
	f.wantLines("a torn line", 1, "one", "two")
	f.add("ee\n")
	f.wantLines("its end", 1, "one", "two", "three")
	f.replace("header\nother\n")
	f.wantLines("another file", 2, "other")
	f.write(f.path, "header\nX\n")
	f.wantLines("a shorter file", 3, "X")
	f.write(f.path, "header\nY\nand more\n")
	f.wantLines("a longer file with another content", 4, "Y", "and more")
}

// TestProgressReadsBatchesEntirely: a part of a batch is not read.
func TestProgressReadsBatchesEntirely(t *testing.T) {
	f := newFollowedUp(t, "header\n"+`{"batch":2}`+"\n"+`{"left":1,"a":1}`+"\n")
	f.wantLines("one of two", 1)
	f.add("{}\n")
	if err := f.advance(); err != nil || !slices.Equal(f.into.lines, []string{`{"left":1,"a":1}`, "{}"}) {
		t.Errorf("%q, %v", f.into.lines, err)
	}
}

// TestProgressTakesTurns: a long file is read in parts, between which it may grow.
func TestProgressTakesTurns(t *testing.T) {
	f := newFollowedUp(t, "header\n"+strings.Repeat("line\n", 2*stretch))
	if done, err := f.progress.Advance(t.Context(), &f.into); done || err != nil || len(f.into.lines) != stretch {
		t.Fatalf("%d lines, %v, %v", len(f.into.lines), done, err)
	}
	f.add("last\n")
	if err := f.advance(); err != nil || len(f.into.lines) != 2*stretch+1 || f.into.resets != 1 {
		t.Errorf("%d lines, read %d times, %v", len(f.into.lines), f.into.resets, err)
	}
}

// TestProgressOfAWriteUnderWay: the time of a write shows before its content. Until
// it takes too long the file counts as being appended to, and no line is read.
func TestProgressOfAWriteUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := strings.Repeat("x", 300<<10) // more than is compared
		f := newFollowedUp(t, "header\nfirst\n"+far+"\n")
		f.wantLines("all", 1, "first", far)
		written := time.Now().Add(time.Hour)
		f.touch(written)
		if done, err := f.progress.Advance(t.Context(), &f.into); done || err != nil {
			t.Errorf("within a write: %v, %v", done, err)
		}
		f.add("appended\n")
		f.wantLines("after the write", 1, "first", far, "appended")
		f.write(f.path, "header\nFIRST\n"+far+"\nappended\n")
		f.touch(written.Add(time.Second))
		f.wantLines("after a change far from the end", 2, "FIRST", far, "appended")
	})
}

func TestProgressOfBadFiles(t *testing.T) {
	f := newFollowedUp(t, "header\none\n")
	f.wantLines("all", 1, "one")
	f.replace("another\ntwo\n")
	if err := f.advance(); !errors.Is(err, errHeader) || len(f.into.lines) != 0 {
		t.Errorf("another header: %q, %v", f.into.lines, err)
	}
	if _, err := f.progress.ReadLine(LineRef{Length: 3}, nil); err == nil {
		t.Error("a line of no file was read")
	}
	f.replace("header\none\n")
	if err := f.advance(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.progress.ReadLine(LineRef{Offset: 7, Length: 100}, nil); err == nil {
		t.Error("a line behind the end was read")
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	if err := f.advance(); err != nil || len(f.into.lines) != 0 {
		t.Errorf("a file that never had content, by its lock file: %q, %v", f.into.lines, err)
	}
}

// TestProgressLocked: under the lock the file of the transaction is read, and no other.
func TestProgressLocked(t *testing.T) {
	f := newFollowedUp(t, "header\none\n")
	f.wantLines("all", 1, "one")
	attempts := 0
	err := f.progress.Lines.Write(t.Context(), nil, func(tx *LineTransaction) error {
		if attempts++; attempts == 1 {
			f.replace("header\ntwo\n")
		}
		for {
			done, err := f.progress.AdvanceLocked(tx, &f.into)
			if attempts == 1 && !errors.Is(err, ErrReplaced) && fmt.Sprint(f.into.lines) != "[one]" {
				t.Errorf("of a file that was replaced: %q, %v", f.into.lines, err)
			}
			if done || err != nil {
				return err
			}
		}
	})
	if err != nil || attempts != 2 || !slices.Equal(f.into.lines, []string{"two"}) {
		t.Errorf("%q in %d attempts, %v", f.into.lines, attempts, err)
	}
	f = newFollowedUp(t, "header\none\n")
	attempts = 0
	err = f.progress.Lines.Write(t.Context(), nil, func(tx *LineTransaction) error {
		if attempts++; attempts > 1 {
			return nil
		}
		f.replace("header\ntwo\n")
		_, err := f.progress.AdvanceLocked(tx, &f.into)
		if !errors.Is(err, ErrReplaced) {
			t.Errorf("nothing was read before: %q, %v", f.into.lines, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
