package network

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// inside is set for the process that Enter starts.
const inside = "BACKFLEET_NETWORK_OF_ITS_OWN"

// Enter starts this program again, with the same arguments, where network and
// mounts are its own, and waits for its end. In the one that is there already
// it says so and returns at once. What is there ends with the program.
func Enter(environ ...string) (there bool, status int, err error) {
	if os.Getenv(inside) != "" {
		return true, 0, errors.Join(os.Unsetenv(inside), furnish())
	}
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return false, 1, fault.Wrap(err, fault.Unavailable, "networks are made with the program %s, which this host does not have: install iproute2 and util-linux", tool)
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(append(os.Environ(), inside+"=1"), environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // the signal at our death is sent at that of the thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return false, 1, fault.Wrap(err, fault.Unavailable, "a network of its own cannot be made: it takes root, or a kernel that lets users have namespaces (sysctl user.max_user_namespaces)")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended
		case err = <-ended:
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				return false, 1, err
			}
			if status = cmd.ProcessState.ExitCode(); status < 0 { // by a signal
				status = 1
			}
			return false, status, nil
		}
	}
}

// furnish readies the namespaces that this process was started in. The names
// of further networks are kept in /run, which is its own, too.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fault.Wrap(err, fault.Unavailable, "mounts of its own cannot be had")
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=1m"); err != nil {
		return fault.Wrap(err, fault.Unavailable, "a /run of its own cannot be had")
	}
	if err := os.MkdirAll("/run/netns", 0o700); err != nil {
		return err
	}
	return ip("", narrow()...)
}
