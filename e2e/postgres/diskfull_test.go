package postgres

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"keyward/internal/postgrestest"
)

// diskSize holds a server with a database, and little more.
const diskSize = "160m"

// TestOutOfDisk: the disk of the server is full. Changes are refused then, and are made
// again once there is room.
func TestOutOfDisk(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can mount a small file system")
		}
		t.Skip("only root can mount a small file system")
	}
	dir, err := os.MkdirTemp("", "keyward-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
		_ = os.Remove(dir)
	})
	c := postgrestest.NewCluster(t, dir)
	c.Start()
	migrate(t, c)
	h := startHarness(t, c.Host())
	filler := fillDisk(t, dir)
	made := h.ledger.count(acknowledged)
	time.Sleep(outage)
	if got := h.ledger.count(acknowledged); got > made+20 {
		t.Errorf("%d changes were made on a full disk", got-made)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.Start() // a server that cannot write its log of changes ends
	h.recovered()
	h.verify(c)
	h.noHistory()
}

// fillDisk writes a file until there is no room, and returns its name.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for err = error(nil); err == nil; {
			_, err = file.Write(make([]byte, size))
		}
	}
	return name
}
