package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// main is the coordinators' address; it is on the loopback of the namespace
// that the tests run in.
const mainAddress = "10.77.0.1"

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// ownNetwork readies the namespace that this process was started in. Names of
// further ones live in /run, which is our own too.
func ownNetwork() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("a /run of our own: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o700); err != nil {
		return err
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return err
	}
	return ip("address", "add", mainAddress+"/32", "dev", "lo")
}

// cable is an agent's way to the coordinators: a pair of interfaces, one in
// the agent's own namespace.
type cable struct {
	t                      *testing.T
	namespace, here, there string // the namespace, and the names of the interfaces
	ours, theirs           string // addresses
}

func (c cable) must(args ...string) {
	c.t.Helper()
	if err := ip(args...); err != nil {
		c.t.Fatal(err)
	}
}

// lay makes the n-th agent's namespace and cable.
func lay(t *testing.T, n int) cable {
	t.Helper()
	number := strconv.Itoa(n)
	c := cable{t, "ns" + number, "host" + number, "eth0", "10.77." + number + ".1", "10.77." + number + ".2"}
	c.must("netns", "add", c.namespace)
	t.Cleanup(func() {
		if err := ip("netns", "delete", c.namespace); err != nil {
			t.Error(err)
		}
	})
	c.must("link", "add", c.here, "type", "veth", "peer", "name", c.there, "netns", c.namespace)
	c.must("address", "add", c.ours+"/24", "dev", c.here)
	c.must("link", "set", c.here, "up")
	c.must("-n", c.namespace, "address", "add", c.theirs+"/24", "dev", c.there)
	c.must("-n", c.namespace, "link", "set", "lo", "up")
	c.must("-n", c.namespace, "link", "set", c.there, "up")
	c.must("-n", c.namespace, "route", "add", "default", "via", c.ours)
	return c
}

// nobody is an address to which frames go without a word.
const nobody = "02:00:00:00:00:99"

// A cut ends a direction of a cable, or both, and can be mended.
type cut struct {
	name       string
	make, mend func(c cable)
}

var cuts = []cut{
	{"both ways",
		func(c cable) { c.must("link", "set", c.here, "down") },
		func(c cable) { c.must("link", "set", c.here, "up") }},
	{"to the coordinators",
		func(c cable) {
			c.must("-n", c.namespace, "neighbour", "replace", c.ours, "lladdr", nobody, "dev", c.there, "nud", "permanent")
		},
		func(c cable) { c.must("-n", c.namespace, "neighbour", "delete", c.ours, "dev", c.there) }},
	{"from the coordinators",
		func(c cable) {
			c.must("neighbour", "replace", c.theirs, "lladdr", nobody, "dev", c.here, "nud", "permanent")
		},
		func(c cable) { c.must("neighbour", "delete", c.theirs, "dev", c.here) }},
}

// TestR13_2_Cuts: agents are cut off in each way, first for less than a lease,
// which nobody notices, then for more: their attempts are dead before others
// begin, and nothing else is disturbed (RULES R13.2, R13.5).
func TestR13_2_Cuts(t *testing.T) {
	const lease, short = 10 * time.Second, 2 * time.Second
	var cables []cable
	for i := range cuts {
		cables = append(cables, lay(t, i+1))
	}
	s := start(t, fleet.Config{
		Coordinators: 3, Agents: len(cuts) + 1, Slots: 2, Host: mainAddress,
		CoordinatorFlags: []string{"--lease", lease.String()},
		Around: func(agent string) []string {
			if n, _ := strconv.Atoi(agent[1:]); n <= len(cuts) {
				return []string{"ip", "netns", "exec", cables[n-1].namespace}
			}
			return nil
		},
	})
	const slots = 2 * 4
	s.apply("long", rig.Waits("go"))
	id := s.submit("long", "2012-01-01..2012-01-08")
	s.Until("all run", func() bool { return s.Noted("start ") == slots })

	for i, c := range cuts {
		c.make(cables[i])
	}
	s.last(short)
	for i, c := range cuts {
		c.mend(cables[i])
	}
	s.last(lease) // in which whoever missed its renewals would have been killed
	if got := s.Noted("start "); got != slots {
		t.Fatalf("after a cut of %s with a lease of %s %d attempts have begun, want %d", short, lease, got, slots)
	}

	for i, c := range cuts {
		c.make(cables[i])
	}
	for i, c := range cuts {
		s.Until("the attempts of "+s.Agents[i].Name+", cut off "+c.name+", are taken back", func() bool { return len(s.on(id, s.Agents[i])) == 0 })
	}
	if got := len(s.on(id, s.Agents[len(cuts)])); got != 2 {
		t.Errorf("the agent that was not cut off runs %d instances, want 2", got)
	}
	for i, c := range cuts {
		c.mend(cables[i])
	}
	s.Until("all run again", func() bool { return s.Noted("start ") == slots+2*len(cuts) })
	s.Open("go")
	s.Succeeded(id, slots)
	s.traced(slots+2*len(cuts), 2*len(cuts))
}
