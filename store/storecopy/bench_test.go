package storecopy

import (
	"bufio"
	"errors"
	"os"
	"testing"

	"keyward/store/filestore/fileheader"
)

// BenchmarkMillion copies a million keys to a database, and back to files.
func BenchmarkMillion(b *testing.B) {
	const keys = 1_000_000
	from := filesIn(b.TempDir(), nil)
	file, err := os.Create(from.Keys)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(file)
	_, err = out.Write(fileheader.Keys(from.Hasher).Journal().Line)
	for range keys {
		key, _ := newKey(b, "alice")
		line, errLine := key.Line()
		_, errWrite := out.Write(line)
		err = errors.Join(err, errLine, errWrite)
	}
	if err = errors.Join(err, out.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		db := openDatabase(b, server.Database(b))
		b.Run("to the database", func(b *testing.B) {
			if copied, err := ToDatabase(b.Context(), from, db); err != nil || copied.Keys != keys {
				b.Fatal(copied, err)
			}
		})
		b.Run("to files", func(b *testing.B) {
			if copied, err := ToFiles(b.Context(), db, filesIn(b.TempDir(), nil)); err != nil || copied.Keys != keys {
				b.Fatal(copied, err)
			}
		})
	}
}
