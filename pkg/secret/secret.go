// Package secret reads the secrets that things in the facts name: from variables
// and from a folder of whoever needs them. The facts have only the names.
package secret

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Prefix begins the names of the variables that may be named. So nobody who may
// change what names them gets at what else is there.
const Prefix = "BACKFLEET_SECRET_"

// mostSecret bounds a secret, in bytes: the certificates of all of a cloud's
// authorities are some 200 KB.
const mostSecret = 1 << 20

// Places are where a process finds secrets.
type Places struct {
	// Folder has the files that may be named. Empty: none.
	Folder string
	// Environ is the process's own environment ("name=value").
	Environ []string
	// Whose says for messages what process it is. Default: agent.
	Whose string
}

// Read gives a secret, without the newline at its end. It is read anew each
// time. An error says what to do there, and never has the secret in it.
func (s Places) Read(where *wire.Secret) (string, error) {
	switch {
	case where.GetEnvironment() != "" && where.GetFile() == "":
		return s.variable(where.Environment)
	case where.GetFile() != "" && where.GetEnvironment() == "":
		return s.file(where.File)
	}
	return "", fault.New(fault.Invalid, "expected a variable or a file, found both or none of them")
}

func (s Places) whose() string { return cmp.Or(s.Whose, "agent") }

func (s Places) variable(name string) (string, error) {
	if !strings.HasPrefix(name, Prefix) {
		return "", fault.New(fault.Invalid, "variable %s is not for secrets: expected a name that begins with %s", name, Prefix)
	}
	for i := len(s.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(s.Environ[i], name+"="); ok {
			return s.filled(value, "variable "+name)
		}
	}
	return "", fault.New(fault.NotFound, "this %s has no variable %s; set it where the %[1]s is started, and start it again", s.whose(), name)
}

func (s Places) file(name string) (string, error) {
	switch {
	case s.Folder == "":
		return "", fault.New(fault.NotFound, "file %q: this %s has no folder of secrets; name one in its settings (secrets)", name, s.whose())
	case !filepath.IsLocal(name):
		return "", fault.New(fault.Invalid, "file %q: expected a name inside the %s's folder of secrets", name, s.whose())
	}
	text, err := inFolder(s.Folder, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.New(fault.NotFound, "there is no file %q in this %s's folder of secrets, %s; put it there", name, s.whose(), s.Folder)
	case err != nil:
		return "", fault.Wrap(err, fault.Invalid, "file %q in this %s's folder of secrets, %s, cannot be used", name, s.whose(), s.Folder)
	}
	return s.filled(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), "file "+name)
}

// inFolder reads a file of a folder, which links may not lead out of.
func inFolder(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold up the process
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fault.New(fault.Invalid, "expected a file, found something else")
	}
	text, err := io.ReadAll(io.LimitReader(file, mostSecret+1))
	if len(text) > mostSecret {
		return nil, fault.New(fault.TooLarge, "expected at most %d bytes", mostSecret)
	}
	return text, err
}

// filled refuses a secret that is empty: to go on without it would look like
// a wrong one.
func (s Places) filled(text, where string) (string, error) {
	if text == "" {
		return "", fault.New(fault.Invalid, "%s is empty on this %s; expected the secret", where, s.whose())
	}
	return text, nil
}
