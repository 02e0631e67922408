package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// small is a disk of 48 MB for the agent, which is full before the test's log ends.
func small(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=48m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDiskOfTheAgent: a log is larger than the agent's disk while no
// coordinator takes it away. The code goes on, what does not fit is dropped and
// counted, the result is told, and the agent works again when there is room.
func TestFullDiskOfTheAgent(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 2, CoordinatorFlags: []string{"--lease", "10m"}})
	agent := s.Agents[0]
	s.Must(s.KillAgent(s.Ctx, agent)) // its folder goes to a small disk
	s.Must(os.RemoveAll(s.AgentDir(agent.Name)))
	small(t, s.AgentDir(agent.Name))
	s.Must(agent.Start())
	s.apply("floods", `until [ -e "$OUT/alone" ]; do sleep 0.05; done
head -c 100000000 /dev/zero | tr '\0' x | fold -w 1000
trace end
`)
	s.apply("says", "echo well\ntrace end\n")
	id := s.submit("floods", "2012-01-01")
	s.Until("it runs", func() bool { return s.Noted("start ") == 1 })
	s.Must(s.Coordinators[0].Kill())
	s.Open("alone")
	s.Until("the code has ended", func() bool { return s.Noted("end ") == 1 })
	s.Must(s.Coordinators[0].Start())
	s.Succeeded(id, 1)
	after := s.submit("says", "2012-01-01..2012-01-04")
	s.Succeeded(after, 4)
	s.traced(5, 0)
	s.Until("the log says what is missing", func() bool {
		out, err := s.CLI("instance", "logs", id+".0", "--tail", "5")
		return err == nil && strings.Contains(out, "dropped")
	})
}

// TestForkBombUnderLimits: code that forks without end is held by its limits
// and ended by its timeout; the host and the other attempts do not notice.
func TestForkBombUnderLimits(t *testing.T) {
	config := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(config, []byte("run: {allowUsers: [nobody]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 2, AgentFlags: []string{"--config", config}})
	s.Must(os.Chmod(s.Out, 0o777))
	for _, dir := range []string{s.Dir, s.Out} {
		for ; dir != "/"; dir = filepath.Dir(dir) { // the code may run as another user
			if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
				s.Must(os.Chmod(dir, info.Mode().Perm()|0o011))
			}
		}
	}
	s.apply("bomb", "bomb() { bomb | bomb & }\nbomb\nsleep 600\n", "timeout: 5s", "limits: {processes: 64}", "user: nobody")
	s.apply("says", "echo well\ntrace end\n")
	bomb := s.submit("bomb", "2012-01-01")
	s.Until("it runs", func() bool { return s.Noted("start ") == 1 })
	s.Succeeded(s.submit("says", "2012-01-01..2012-01-05"), 5)
	if r := s.Quiet(bomb).Receipt; r.Failed != 1 {
		t.Errorf("receipt of the bomb: %+v, want 1 failed", r)
	}
	d, err := s.API.Instance(s.Ctx, bomb+".0")
	s.Must(err)
	if len(d.Attempts) != 1 || d.Attempts[0].State != v1.AttemptStateTimedOut {
		t.Errorf("attempts %+v, want one that timed out", d.Attempts)
	}
	s.Until("nothing of it is left", func() bool { return s.carrying("BACKFLEET_NODE=bomb") == 0 })
	s.traced(6, 1)
}

// carrying counts processes with a variable in their environment.
func (s *site) carrying(variable string) (n int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		text, _ := os.ReadFile(path)
		if strings.Contains("\x00"+string(text), "\x00"+variable+"\x00") {
			n++
		}
	}
	return n
}
