package runbooks

import (
	"os"
	"path/filepath"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/drill/disk"
)

// loseAgent kills everything of an agent that is at work.
func loseAgent(s *stage) {
	s.set("GO", filepath.Join(s.Out, "go"))
	s.Apply(rig.Node{ID: "waits", Code: rig.Waits("go")})
	s.set("BACKFILL", s.Submit(v1.BackfillRequest{Root: "waits", Mode: v1.ModeCurrent, Dates: []string{eightDays}, Groups: 8, Gate: v1.GateNone}))
	s.Until("both agents are at work", func() bool { return s.Noted("start ") == 8 })
	s.Must(s.KillAgent(s.Ctx, s.hosts["a1"]))
}

func agentBack(s *stage) {
	s.Succeeded("b1", 8)
	if got := s.Traced(); got.Unended == 0 || got.Attempts != 8+got.Unended {
		s.T.Errorf("%d attempts, %d of them killed, for 8 instances", got.Attempts, got.Unended)
	}
}

// slowDisk moves c1 to a disk whose syncs take a quarter of a second. Where
// nothing may be mounted the lines are played on one that is quick.
func slowDisk(s *stage) {
	s.Apply(rig.Node{ID: "quick", Code: "trace end\n"})
	p, below := s.hosts["c1"], s.T.TempDir()
	s.set("NEW_DISK", s.T.TempDir())
	s.Must(p.Stop(s.Ctx))
	s.Must(os.CopyFS(below, os.DirFS(s.dir("c1"))))
	s.Must(os.RemoveAll(s.dir("c1")))
	at := filepath.Join(s.T.TempDir(), "volume")
	if d, err := disk.Mount(below, at); err != nil {
		s.T.Logf("no disk can be mounted here: %v", err)
		at = below
	} else {
		s.T.Cleanup(func() {
			if err := d.Close(); err != nil {
				s.T.Error(err)
			}
		})
		d.Slow(250 * time.Millisecond)
	}
	s.Must(os.Symlink(at, s.dir("c1")))
	s.Must(p.Start())
	s.whole(3, s.Servers...)
	_, err := s.API.Transfer(s.Ctx, "c1")
	s.Must(err)
}

func quickAgain(s *stage) {
	s.Succeeded("b1", 1)
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	if leader.Name != "c1" {
		s.T.Errorf("%s leads, want c1 on its new disk", leader.Name)
	}
}
