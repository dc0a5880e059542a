package service

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is time since the machine started, sleep included: a laptop that wakes up has not had its clock set.
func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("the kernel has no CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(t.Nano())
}
