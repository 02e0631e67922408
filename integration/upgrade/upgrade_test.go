package upgrade

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// from and to are the two versions of the binary.
var from, to string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "backfleet-upgrade-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		to = filepath.Join(dir, "to")
		if err := fleet.Build(context.Background(), "../..", to); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if from = os.Getenv("FROM"); from == "" {
			from = filepath.Join(dir, "from")
			build := exec.Command("go", "build", "-tags", "behaviour_former", "-o", from, "./ops/backfleet")
			build.Dir = "../.."
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// site is a fleet of which every process runs the binary that lies in a place of
// its own, as it does on a host of its own.
type site struct {
	*rig.Rig
	bin string
	id  string // of the backfill that runs all the while
}

const days = 120

// begin starts three coordinators and two agents of the older version, a backfill
// that goes on until finish, and the schedule. flags are those of coordinators of
// the newer version.
func begin(t *testing.T, flags string) *site {
	t.Helper()
	s := &site{bin: t.TempDir()}
	for _, name := range []string{"c1", "c2", "c3", "a1", "a2"} {
		s.install(t, name, from, "")
	}
	s.Rig = rig.Start(t, fleet.Config{Binary: from, Coordinators: 3, Agents: 2, Slots: 2, Around: func(name string) []string {
		// $0 is the fleet's binary: run is what is installed.
		return []string{"sh", "-c", `exec "` + filepath.Join(s.bin, name) + `" "$@" $(cat "` + filepath.Join(s.bin, name+".flags") + `")`}
	}})
	at := time.Now().UTC().Add(20 * time.Second)
	s.Apply(
		rig.Node{ID: "raw", Code: "sleep 0.05\ntrace end\n"},
		rig.Node{ID: "sum", Fields: []string{"upstreams: [raw]"}, Code: "trace end\n"},
		rig.Node{ID: "held", Code: rig.Waits("go")},
		rig.Node{ID: "daily", Fields: []string{fmt.Sprintf("schedule: {kind: daily, at: %q, zone: UTC, auto: true}", at.Format(time.TimeOnly))}, Code: "trace end\n"},
	)
	s.id = s.Submit(v1.BackfillRequest{Root: "raw", Mode: v1.ModeDescendants, Dates: []string{"2012-01-01..2012-04-29"}, Groups: 2})
	return s
}

// install puts a binary in a host's place, as a package does: what runs keeps the
// one that it was started from.
func (s *site) install(t *testing.T, name, binary, flags string) {
	t.Helper()
	place := filepath.Join(s.bin, name)
	for _, err := range []error{
		exec.Command("cp", binary, place+".new").Run(), os.Rename(place+".new", place),
		os.WriteFile(place+".flags", []byte(flags), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// change gives a process another binary, and starts it again in order.
func (s *site) change(p *fleet.Process, binary, flags string) {
	s.T.Helper()
	s.install(s.T, p.Name, binary, flags)
	s.Must(p.Stop(s.Ctx))
	s.Must(p.Start())
	s.whole()
}

// whole waits until all vote and answer, and work goes on.
func (s *site) whole() {
	s.T.Helper()
	s.Until("every coordinator votes and answers", func() bool {
		c, err := s.API.Standings(s.Ctx)
		if err != nil || c.Leader == "" {
			return false
		}
		for _, one := range c.Servers {
			if one.Role == v1.ServerRoleNonVoter || one.Standing == nil {
				return false
			}
		}
		return true
	})
	before := s.Noted("start ")
	s.Until("attempts go on", func() bool { return s.Noted("start ") > before || s.Noted("end ") >= 2*days })
}

// behaviour is the version of the rules in force.
func (s *site) behaviour() int {
	s.T.Helper()
	c, err := s.API.Cluster(s.Ctx)
	s.Must(err)
	return c.Behaviour
}

// finish waits for the end of all work, and checks what the attempts noted: none
// is lost and none ran twice at once (RULES R13).
func (s *site) finish(held string) {
	s.T.Helper()
	s.Open("go")
	s.Succeeded(s.id, 2*days)
	s.Succeeded(held, 2)
	s.Until("the schedule ran its instance", func() bool { return s.noted("end", "daily") >= 1 })
	if got := s.Traced(); got.Unended > 0 {
		s.T.Errorf("%d attempts were ended, of %d", got.Unended, got.Attempts)
	}
	if n := s.noted("start", "held"); n != 2 {
		s.T.Errorf("attempts that ran over the change of every process were started %d times, expected 2", n)
	}
}

// noted counts the notes of a node's attempts.
func (s *site) noted(kind, node string) (n int) {
	text, err := os.ReadFile(filepath.Join(s.Out, "attempts.log"))
	s.Must(err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == kind && f[4] == node {
			n++
		}
	}
	return n
}

// hold begins two attempts that last until finish.
func (s *site) hold() string {
	s.T.Helper()
	id := s.Submit(v1.BackfillRequest{Root: "held", Mode: v1.ModeCurrent, Dates: []string{"2012-01-01..2012-01-02"}, Groups: 2})
	s.Until("two attempts wait", func() bool {
		_, err := os.Stat(filepath.Join(s.Out, "attempts.log"))
		return err == nil && s.noted("start", "held") == 2
	})
	return id
}

// soon has newer rules put in force as soon as all have agreed for a moment.
const soon = "--behaviour-after 1s"

// TestRollingUpgrade: one process after the other becomes the newer version, under
// work and with the leader killed half-way. The rules stay the former ones until
// the last coordinator has changed; then no older binary comes back.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel() // with the other: they mostly wait
	s := begin(t, soon)
	held := s.hold()
	s.change(s.Coordinators[0], to, soon)
	s.change(s.Agents[0], to, "") // newer than its leader, perhaps
	s.change(s.Coordinators[1], to, soon)
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	s.Must(leader.Kill())
	before := s.Noted("start ")
	s.Until("another leads", func() bool { return s.Noted("start ") > before+4 || s.Noted("end ") >= 2*days })
	s.Must(leader.Start())
	s.whole()
	if b := s.behaviour(); b != 1 {
		t.Errorf("rules of version %d are in force while c3 knows version 1 alone", b)
	}
	s.change(s.Coordinators[2], to, soon)
	s.Until("newer rules are in force", func() bool { return s.behaviour() == 2 })
	s.change(s.Agents[1], to, "")
	s.finish(held)
	s.late()
}

// late starts the older binary where newer rules are in force: on a member's folder
// it stops and says why, and as a newcomer it is not taken in.
func (s *site) late() {
	s.T.Helper()
	c := s.Coordinators[2]
	s.install(s.T, c.Name, from, "")
	s.Must(c.Stop(s.Ctx))
	s.Must(c.Start())
	status, err := c.Wait(s.Ctx)
	said, _ := os.ReadFile(c.Log)
	if err != nil || status == 0 || !strings.Contains(string(said), "follows rules of version 2, this binary knows 1") {
		s.T.Errorf("an older binary on the folder of a member: status %d, %v; it said %s", status, err, said[max(0, len(said)-1500):])
	}
	cluster, err := s.API.Cluster(s.Ctx)
	s.Must(err)
	ports, err := fleet.FreePorts(3)
	s.Must(err)
	c4 := fleet.NewProcess("c4", s.Dir, from, "coordinator", "--id", "c4", "--data", filepath.Join(s.Dir, "c4"),
		"--http", ports[0], "--rpc", ports[1], "--raft", ports[2], "--join", cluster.Servers[0].RPCAddress)
	s.Must(c4.Start())
	defer func() { s.Must(c4.Stop(s.Ctx)) }()
	s.Until("somebody says why c4 is not taken in", func() bool {
		for _, p := range append([]*fleet.Process{c4}, s.Coordinators...) {
			text, _ := os.ReadFile(p.Log)
			if strings.Contains(string(text), "knows rules of version 1, and in force are those of version 2") || strings.Contains(string(text), "of another cluster") {
				return true
			}
		}
		return false
	})
	cluster, err = s.API.Cluster(s.Ctx)
	s.Must(err)
	if len(cluster.Servers) != 3 {
		s.T.Errorf("members: %+v", cluster.Servers)
	}
}

// TestWayBack: held at the former rules, a cluster of the newer version goes back
// to the older one, process by process, and forward again.
func TestWayBack(t *testing.T) {
	t.Parallel() // with the other: they mostly wait
	const pinned = "--behaviour-after 1s --behaviour-max 1"
	s := begin(t, pinned)
	held := s.hold()
	processes := append(append([]*fleet.Process{}, s.Coordinators...), s.Agents...)
	for _, p := range processes {
		flags := pinned
		if strings.HasPrefix(p.Name, "a") {
			flags = ""
		}
		s.change(p, to, flags)
	}
	if b := s.behaviour(); b != 1 {
		t.Errorf("rules of version %d are in force, though all hold them at 1", b)
	}
	for _, p := range processes {
		s.change(p, from, "")
	}
	s.finish(held)
}
