package executor

import (
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

// SecretPrefix begins the names of the variables of an agent that data sources
// may name. So nobody who may change a data source gets at what else is there.
const SecretPrefix = reserved + "SECRET_"

// mostSecret bounds a secret, in bytes: the certificates of all of a cloud's
// authorities are some 200 KB.
const mostSecret = 1 << 20

// Secrets are where an agent finds the secrets of data sources.
type Secrets struct {
	// Folder has the files that data sources may name. Empty: none.
	Folder string
	// Environ is the agent's own environment ("name=value").
	Environ []string
}

// Read gives a secret, without the newline at its end. It is read anew for each
// attempt. An error says what to do on this agent, and never has the secret in it.
func (s Secrets) Read(where *wire.Secret) (string, error) {
	switch {
	case where.GetEnvironment() != "" && where.GetFile() == "":
		return s.variable(where.Environment)
	case where.GetFile() != "" && where.GetEnvironment() == "":
		return s.file(where.File)
	}
	return "", fault.New(fault.Invalid, "expected a variable or a file, found both or none of them")
}

func (s Secrets) variable(name string) (string, error) {
	if !strings.HasPrefix(name, SecretPrefix) {
		return "", fault.New(fault.Invalid, "variable %s is not for secrets: expected a name that begins with %s", name, SecretPrefix)
	}
	for i := len(s.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(s.Environ[i], name+"="); ok {
			return filled(value, "variable "+name)
		}
	}
	return "", fault.New(fault.NotFound, "this agent has no variable %s; set it where the agent is started, and start it again", name)
}

func (s Secrets) file(name string) (string, error) {
	switch {
	case s.Folder == "":
		return "", fault.New(fault.NotFound, "file %q: this agent has no folder of secrets; name one in its settings (secrets)", name)
	case !filepath.IsLocal(name):
		return "", fault.New(fault.Invalid, "file %q: expected a name inside the agent's folder of secrets", name)
	}
	text, err := inFolder(s.Folder, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.New(fault.NotFound, "there is no file %q in this agent's folder of secrets, %s; put it there", name, s.Folder)
	case err != nil:
		return "", fault.Wrap(err, fault.Invalid, "file %q in this agent's folder of secrets, %s, cannot be used", name, s.Folder)
	}
	return filled(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), "file "+name)
}

// inFolder reads a file of a folder, which links may not lead out of.
func inFolder(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold up the agent
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
func filled(text, where string) (string, error) {
	if text == "" {
		return "", fault.New(fault.Invalid, "%s is empty on this agent; expected the secret", where)
	}
	return text, nil
}
