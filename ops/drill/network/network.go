// Package network has hosts on one machine: each with a network namespace and
// an address of its own, all on one bridge, and every direction between any two
// of them can be cut and healed. Drills and tests put processes on them, see
// Place.
//
// A cut is made at the sender, who addresses what it sends to nobody: it
// vanishes without a word, as on a broken path, and connections stay open until
// somebody misses an answer. It takes root or user namespaces, see Enter.
//
// Addresses are of the loopback's range, led over the bridge: to the processes
// they are as safe as the loopback, which needs no certificates.
package network

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

// Here is the host of the process that makes the network, and of its clients.
const Here = "here"

const (
	bridge = "drill0"
	nobody = "02:00:00:00:00:ff" // no host has it
)

// Network is hosts on a bridge. Its methods may be called side by side.
type Network struct {
	hosts map[string]int // by name; the number is the last part of the addresses

	mu  sync.Mutex
	cut map[Way]bool
}

// Way is one direction between two hosts.
type Way struct{ From, To string }

// Ways are those from each of some hosts to each of others.
func Ways(from, to []string) (ways []Way) {
	for _, f := range from {
		for _, t := range to {
			if f != t {
				ways = append(ways, Way{f, t})
			}
		}
	}
	return ways
}

// Between are the ways of both directions.
func Between(a, b []string) []Way { return append(Ways(a, b), Ways(b, a)...) }

// New makes hosts of these names in the namespace that Enter has led into,
// which has room for one network at a time.
func New(names ...string) (*Network, error) {
	n := &Network{hosts: map[string]int{Here: 1}, cut: map[Way]bool{}}
	for i, name := range names {
		if n.hosts[name] != 0 || i > 200 {
			return nil, fault.Field("host", "%q cannot be host %d: expected at most 200 names that differ, none of them %s", name, i+1, Here)
		}
		n.hosts[name] = i + 2
	}
	if err := n.lay(names); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Network) lay(names []string) error {
	if err := ip("", "link add "+bridge+" address "+n.link(Here)+" type bridge"); err != nil {
		return err
	}
	if err := n.join(Here, bridge); err != nil {
		return err
	}
	var here []string
	for _, name := range names {
		far, near := namespace(name), n.near(name)
		here = append(here, "netns add "+far, "link add "+near+" type veth peer name eth0 address "+n.link(name)+" netns "+far,
			"link set "+near+" master "+bridge+" up")
	}
	if err := ip("", here...); err != nil {
		return err
	}
	for _, name := range names {
		if err := n.join(name, "eth0"); err != nil {
			return err
		}
	}
	// Neighbours are written down: nobody has to ask for them through a cut.
	return n.set(Ways(n.names(), n.names()), false)
}

// join gives a host's interface its address. The loopback keeps one address of
// its range, and leaves the others.
func (n *Network) join(host, device string) error {
	err := n.Inside(host, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/"+device+"/route_localnet", []byte("1"), 0)
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the loopback's range cannot be led over a bridge")
	}
	lines := []string{"address add " + n.Address(host) + "/24 dev " + device, "link set " + device + " up"}
	if host != Here { // of which Enter has seen to it
		lines = append(narrow(), lines...)
	}
	return ip(host, lines...)
}

// narrow makes the loopback one address.
func narrow() []string {
	return []string{"link set lo up", "address flush dev lo", "address add 127.0.0.1/32 dev lo"}
}

func (n *Network) names() []string { return slices.Sorted(maps.Keys(n.hosts)) }

// Close removes the hosts. Processes on them keep what they have, without a way
// to anybody.
func (n *Network) Close() error {
	var errs []error
	cut := func(device string) {
		if _, err := net.InterfaceByName(device); err == nil {
			errs = append(errs, ip("", "link delete "+device))
		}
	}
	for name := range n.hosts {
		if name == Here {
			continue
		}
		// The cable by itself: a namespace takes its end away when it gets to it, and till then the name is in use.
		cut(n.near(name))
		if _, err := os.Stat(file(name)); err == nil {
			errs = append(errs, ip("", "netns delete "+namespace(name)))
		}
	}
	cut(bridge)
	return errors.Join(errs...)
}

// Address is a host's.
func (n *Network) Address(host string) string { return fmt.Sprint("127.77.0.", n.hosts[host]) }

// link is the address of its interface.
func (n *Network) link(host string) string { return fmt.Sprintf("02:00:0a:4d:00:%02x", n.hosts[host]) }

// near is this end of its cable.
func (n *Network) near(host string) string { return fmt.Sprint("drill", n.hosts[host]) }

func namespace(host string) string { return "drill-" + host }
func file(host string) string      { return "/run/netns/" + namespace(host) }

// Around is what a command line begins with to run on a host.
func (n *Network) Around(host string) []string {
	if host == Here {
		return nil
	}
	return []string{"nsenter", "--net=" + file(host), "--"}
}

// Place puts a fleet's processes on hosts of their own names, where there are
// such; others stay here.
func (n *Network) Place(c fleet.Config) fleet.Config {
	known := func(name string) string {
		if n.hosts[name] == 0 {
			return Here
		}
		return name
	}
	c.HostOf = func(name string) string { return n.Address(known(name)) }
	c.Around = func(name string) []string { return n.Around(known(name)) }
	return c
}

// Inside calls a function whose sockets are a host's.
func (n *Network) Inside(host string, f func() error) error {
	if host == Here {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		fd, err := unix.Open(file(host), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

// Cut ends these ways; those that are cut already stay so.
func (n *Network) Cut(ways ...Way) error { return n.change(ways, true) }

// Heal mends these ways.
func (n *Network) Heal(ways ...Way) error { return n.change(ways, false) }

// HealAll mends whatever is cut.
func (n *Network) HealAll() error {
	n.mu.Lock()
	ways := slices.Collect(maps.Keys(n.cut))
	n.mu.Unlock()
	return n.Heal(ways...)
}

func (n *Network) change(ways []Way, cut bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var changed []Way
	for _, w := range ways {
		if n.hosts[w.From] == 0 || n.hosts[w.To] == 0 || w.From == w.To {
			return fault.Field("way", "there is none from %q to %q: expected two of %s", w.From, w.To, strings.Join(n.names(), ", "))
		}
		if n.cut[w] != cut {
			changed = append(changed, w)
		}
	}
	if err := n.set(changed, cut); err != nil {
		return err
	}
	for _, w := range changed {
		if cut {
			n.cut[w] = true
		} else {
			delete(n.cut, w)
		}
	}
	return nil
}

// set writes down, for each sender, where what it sends to a host goes.
func (n *Network) set(ways []Way, cut bool) error {
	lines := map[string][]string{}
	for _, w := range ways {
		device, link := "eth0", n.link(w.To)
		if w.From == Here {
			device = bridge
		}
		if cut {
			link = nobody
		}
		lines[w.From] = append(lines[w.From], "neighbour replace "+n.Address(w.To)+" lladdr "+link+" dev "+device+" nud permanent")
	}
	var wait sync.WaitGroup // as near to at once as can be
	errs := make([]error, len(lines))
	for i, from := range slices.Sorted(maps.Keys(lines)) {
		wait.Go(func() { errs[i] = ip(from, lines[from]...) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// ip runs lines of the program ip on a host; "" is Here.
func ip(host string, lines ...string) error {
	args := []string{"-batch", "-"}
	if cmp.Or(host, Here) != Here {
		args = []string{"-n", namespace(host), "-batch", "-"}
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip on %s: %w: %s", cmp.Or(host, Here), err, out)
	}
	return nil
}
