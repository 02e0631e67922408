package check

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
)

const (
	// mostOutput is how much of a script's output can be compared, in bytes.
	mostOutput = 64 << 10
	// grace is how long a script that is to stop may take.
	grace = 5 * time.Second
)

// script runs code by sh, as nodes of type shell are run. What it prints is in the
// log, and compared.
func script(ctx context.Context, code string, out *output.Output) (*found, error) {
	file, err := inMemory(code)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the script cannot be given to sh")
	}
	defer file.Close()
	var kept bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", append([]string{"/proc/self/fd/3"}, out.Arguments...)...)
	cmd.ExtraFiles = []*os.File{file} // descriptor 3
	cmd.Stdout, cmd.Stderr = io.MultiWriter(out.Log, &first{b: &kept, most: mostOutput + 1}), os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fault.New(fault.Unavailable, "the script was stopped")
	case errors.As(err, &ended):
		return nil, fault.New(fault.Conflict, "the script says that the check failed: %s", ended)
	case err != nil:
		return nil, fault.Wrap(err, fault.Internal, "the script cannot be run")
	case kept.Len() > mostOutput:
		return &found{none: "more than 64 KiB of output, which is too much to compare"}, nil
	}
	return &found{one: true, value: strings.TrimSpace(kept.String())}, nil
}

// first keeps the first bytes of what is written.
type first struct {
	b    *bytes.Buffer
	most int
}

func (f *first) Write(p []byte) (int, error) {
	f.b.Write(p[:min(len(p), f.most-f.b.Len())])
	return len(p), nil
}

// inMemory is a file that has no name.
func inMemory(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("script", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "script")
	if _, err := file.WriteString(text); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
