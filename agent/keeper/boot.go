package keeper

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"backfleet/pkg/fault"
)

// Boot identifies the time since the host was started: no process of another
// one lives. Empty when the kernel does not tell.
func Boot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// noteBoot notes the boot in the keeper's folder and tells why attempts without
// a result are lost.
func noteBoot(dir, boot string) (cause string, err error) {
	path := filepath.Join(dir, "boot")
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Internal, "keeper: cannot read its folder")
	}
	cause = "the keeper died, and the attempt with it"
	if string(before) == boot {
		return cause, nil
	}
	if len(before) > 0 {
		cause = "the host was restarted, and the attempt ended with it"
	}
	// No sync: without it the cause is a less exact one.
	if err := errors.Join(os.WriteFile(path+".new", []byte(boot), 0o600), os.Rename(path+".new", path)); err != nil {
		return "", fault.Wrap(err, fault.Internal, "keeper: cannot write in its folder; look for a full disk")
	}
	return cause, nil
}
