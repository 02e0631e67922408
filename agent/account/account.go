// Package account finds the users of this host as whom attempts may run, and
// says what that takes.
package account

import (
	"context"
	"errors"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// Account is a user of this host.
type Account struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // all it belongs to
	Home   string
}

// Credential gives its rights to a process that is started; nil if they are
// this process's own. The error says what is missing to give others.
func (a *Account) Credential() (*syscall.Credential, error) {
	if a.UID == uint32(syscall.Geteuid()) {
		return nil, nil
	}
	if missing := missing(); len(missing) > 0 {
		return nil, fault.New(fault.Invalid, "user %q: the agent has not the right to start processes of other users; run it as root, "+
			"or give its service %s (systemd: AmbientCapabilities)", a.Name, strings.Join(missing, " "))
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}, nil
}

const root = "root"

// needed are the capabilities for it: to become somebody else, to kill what is
// somebody else's, and to give and remove folders.
var needed = []struct {
	name string
	bit  int
}{
	{"CAP_SETUID", unix.CAP_SETUID}, {"CAP_SETGID", unix.CAP_SETGID}, {"CAP_KILL", unix.CAP_KILL},
	{"CAP_CHOWN", unix.CAP_CHOWN}, {"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE},
}

// missing gives the capabilities that this process has not; they never change.
var missing = sync.OnceValue(func() (list []string) {
	var sets [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&header, &sets[0])
	for _, c := range needed {
		if err != nil || sets[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			list = append(list, c.name)
		}
	}
	return list
})

// Cache finds accounts and remembers them: a directory service may take its
// time. It may be used by several goroutines.
type Cache struct {
	mu    sync.Mutex
	found map[string]*entry
}

type entry struct {
	account *Account
	err     error
	fresh   time.Time // until then
	asked   bool      // again, and there is no answer yet
}

const (
	freshFor    = 30 * time.Second
	mostEntries = 1024
)

// Find finds an account by its name. One that was found before it gives at once,
// as it was then, and if that is long ago it asks again for the next time.
func (c *Cache) Find(name string) (*Account, error) {
	e := c.known(name)
	if e == nil {
		e = c.ask(name)
	}
	return e.account, e.err
}

// known gives what is remembered; nil: that is nothing, or a failure long ago.
func (c *Cache) known(name string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.found[name]
	if e == nil || time.Now().Before(e.fresh) {
		return e
	}
	if e.err != nil {
		return nil
	}
	if !e.asked {
		e.asked = true
		go c.ask(name)
	}
	return e
}

func (c *Cache) ask(name string) *entry {
	account, err := find(name)
	e := &entry{account: account, err: err, fresh: time.Now().Add(freshFor)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil || len(c.found) >= mostEntries {
		c.found = map[string]*entry{}
	}
	c.found[name] = e
	return e
}

func find(name string) (*Account, error) {
	u, err := user.Lookup(name)
	if err == nil {
		groups, err := u.GroupIds()
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "user %q: its groups cannot be read", name)
		}
		return build(name, u.Uid, u.Gid, u.HomeDir, groups)
	}
	var unknown user.UnknownUserError
	if !errors.As(err, &unknown) {
		return nil, fault.Wrap(err, fault.Internal, "user %q cannot be looked up", name)
	}
	return ask(name)
}

// ask asks the system's own tools, which know of users in directory services
// that a binary without libc does not.
func ask(name string) (*Account, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	line, err := exec.CommandContext(ctx, "getent", "passwd", name).Output()
	f := strings.Split(strings.TrimSpace(string(line)), ":")
	if err != nil || len(f) < 7 || f[0] != name {
		return nil, fault.New(fault.NotFound, "user %q: there is no such account on this host; make it there, or choose another", name)
	}
	groups, err := exec.CommandContext(ctx, "id", "-G", name).Output()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "user %q: its groups cannot be read", name)
	}
	return build(name, f[2], f[3], f[5], strings.Fields(string(groups)))
}

// build puts an account together from its numbers' texts.
func build(name, uid, gid, home string, groups []string) (*Account, error) {
	a := &Account{Name: name, Home: home, Groups: make([]uint32, len(groups))}
	numbers := []*uint32{&a.UID, &a.GID}
	for i := range groups {
		numbers = append(numbers, &a.Groups[i])
	}
	for i, text := range append([]string{uid, gid}, groups...) {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "user %q: %q is no number of a user or group", name, text)
		}
		*numbers[i] = uint32(n)
	}
	if a.UID == 0 && name != root { // who allows all but root means its rights
		return nil, fault.New(fault.Invalid, "user %q has the rights of root: name root, if that is meant and allowed", name)
	}
	return a, nil
}
