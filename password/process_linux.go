package password

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes keep a Ctrl-C at the terminal from the children, which have
// to hash until the server has drained.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// niceness lets checks go first and hashing go on. With 19 a hash took so much
// longer on busy cores that a third of the right passwords came too late.
const niceness = 5

// LowerPriority has the rest of the machine go first. It is for each thread, since Linux keeps it by thread; those that
// are to come have that of the one that makes them. Where it is not allowed
// hashing goes on as it is.
func LowerPriority() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
	}
}
