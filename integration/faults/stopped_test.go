package faults

import (
	"flag"
	"syscall"
	"testing"
	"time"

	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

var (
	lease   = flag.Duration("faults.lease", 4*time.Second, "lease of agents that are stopped")
	stopped = flag.Duration("faults.stopped", 4*time.Second, "how long they are, after their leases have ended")
)

// TestR13_2_Stopped: an agent whose session stands still, and one whose keeper
// does, for longer than a lease. Their attempts end with their leases all the
// same and run elsewhere; when they go on, nothing runs twice.
func TestR13_2_Stopped(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 3, Slots: 2, CoordinatorFlags: []string{"--lease", lease.String()}})
	s.apply("long", rig.Waits("go"))
	id := s.submit("long", "2012-01-01..2012-01-06")
	s.Until("all run", func() bool { return s.Noted("start ") == 6 })
	keeper, err := s.KeeperPid(s.Ctx, s.Agents[1])
	s.Must(err)
	s.Must(s.Agents[0].Signal(syscall.SIGSTOP))
	s.Must(syscall.Kill(keeper, syscall.SIGSTOP))
	s.Until("the attempts of the stopped session are taken back", func() bool { return len(s.on(id, s.Agents[0])) == 0 })
	s.Until("a new keeper runs the attempts of the stopped one", func() bool { return s.Noted("start ") >= 8 })
	if fleet.Alive(keeper) {
		t.Error("the stopped keeper was not killed by its guard")
	}
	s.last(*stopped)
	s.Must(s.Agents[0].Signal(syscall.SIGCONT))
	s.Until("all run again", func() bool { return s.Noted("start ") == 10 })
	s.Open("go")
	s.Succeeded(id, 6)
	s.traced(10, 4)
}

// TestR13_2_Reboot: everything of an agent dies at once, as when its host is
// cut from power. When it is back its attempts are lost at once, not only when
// their leases end, each once.
func TestR13_2_Reboot(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 3, CoordinatorFlags: []string{"--lease", "10m"}})
	s.apply("long", rig.Waits("go"))
	id := s.submit("long", "2012-01-01..2012-01-03")
	s.Until("all run", func() bool { return s.Noted("start ") == 3 })
	began := time.Now()
	s.Must(s.KillAgent(s.Ctx, s.Agents[0]))
	s.Must(s.Agents[0].Start())
	s.Until("they run again", func() bool { return s.Noted("start ") == 6 })
	if took := time.Since(began); took > time.Minute {
		t.Errorf("they ran again %s after the host was back; only a lease of ten minutes could last so long", took)
	}
	s.Open("go")
	s.Succeeded(id, 3)
	s.traced(6, 3)
}
