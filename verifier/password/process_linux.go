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

// niceness lets checks go first and hashing continue. Measured on two cores
// with other work on them, with 6,000 wrong passwords per second from a botnet
// (bench -only passwords; each of two or more runs): p99 of key checks
// meanwhile. It is 7.9 to 14 ms in a similar flood without hashing.
//
//	nice 5           8.4 to 12.7 ms   all known passwords succeed, all new ones within 5 s
//	nice 5, batch    8.8 to 9.3 ms    the same
//	nice 10          8.6 to 9.6 ms    a few of the known ones too late
//	nice 19          19 to 30 ms      half of the known ones and a third of the new ones too late
//
// A batch thread that wakes up does not preempt a running one.
const niceness = 5

// LowerPriority lowers the scheduling priority of the process. Linux keeps it
// per thread, so it is set for each; new threads inherit it. If that is not
// permitted, hashing goes on at normal priority.
func LowerPriority() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			batch := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: niceness}
			if unix.SchedSetAttr(id, batch, 0) != nil {
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
			}
		}
	}
}
