package runner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What an attempt started and left comes to this process when its parent ends,
// if Config.Spare makes it their reaper: there it is waited for, so that no
// zombie stays, and without cgroups it is found there by its mark and killed.

// sweepEvery is the most time that an orphan stays a zombie.
const sweepEvery = 5 * time.Second

// adoptOrphans makes this process the parent of what its descendants leave.
func (r *Runner) adoptOrphans() {
	if r.config.Spare == nil {
		return
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // every kernel can
	r.sweepAt = time.Now()
	name := fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()) // orphans come to the first thread
	if fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		r.children = fd // else the kernel was built without it, and they live on
	}
}

// sweep reaps orphans that have ended.
func (r *Runner) sweep(now time.Time) {
	r.sweepAt = now.Add(sweepEvery)
	for pid := ended(); pid > 0 && r.orphan(pid); pid = ended() {
		if _, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err != nil {
			return
		}
	}
	if r.config.Cgroups != nil {
		r.config.Cgroups.Tidy()
	}
}

// ended gives a child that has ended and was not waited for; 0: there is none.
func ended() int {
	// The kernel's siginfo_t: three numbers, and the pid at the next place where
	// a pointer could stand.
	const at = (12 + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)
	var info [16]uint64
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return 0
	}
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), at)))
}

// orphan tells children that came by themselves from those that somebody waits
// for. Helpers stay in this process's group, and what an attempt starts does not
// come into it.
func (r *Runner) orphan(pid int) bool {
	if _, mine := r.pids[pid]; mine || r.config.Spare(pid) {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err == nil && group != unix.Getpgrp()
}

// killStrays kills what carries a mark, if an orphan does. It does not wait for
// its end for long: it is killed, whatever the kernel is still doing for it.
func (r *Runner) killStrays(mark string) {
	if r.children < 0 || mark == "" {
		return
	}
	n, _ := unix.Pread(r.children, r.room, 0)
	found := false
	for field := range bytes.FieldsSeq(r.room[:max(n, 0)]) {
		pid, _ := strconv.Atoi(string(field))
		if _, mine := r.pids[pid]; !mine && carries(pid, []byte(mark+"\x00")) {
			found = true
			break
		}
	}
	for range 10 { // they may fork meanwhile
		if !found {
			return
		}
		if found = KillMarked(mark + "\x00"); found {
			time.Sleep(time.Millisecond)
		}
	}
}

// carries says whether a process's environment has a text in it.
func carries(pid int, mark []byte) bool {
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	return err == nil && bytes.Contains(environment, mark)
}

// KillMarked kills every process of the host but this one that has a text in
// its environment, and says whether there was one.
func KillMarked(mark string) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && carries(pid, []byte(mark)) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			found = true
		}
	}
	return found
}
