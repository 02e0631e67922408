package suite

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// A shared machine stands still at times: its host gives the cores to somebody
// else. A leader that stood still has rightly lost its followers. So a process
// that does nothing but sleep runs beside a soak and says when it was late.

// stall is a time in which a process that only sleeps could not run.
type stall struct {
	At time.Time `json:"at"` // when it ran again
	Ms float64   `json:"ms"`
}

const (
	canarySleep = 5 * time.Millisecond
	// leastStall is half of the time after which a leader steps down: two
	// processes have to run for a heartbeat and its answer.
	leastStall = 100 * time.Millisecond
)

// playCanary writes a line for each stall until it is ended.
func playCanary(out io.Writer) int {
	enc := json.NewEncoder(out)
	for {
		began := time.Now()
		time.Sleep(canarySleep)
		if late := time.Since(began) - canarySleep; late >= leastStall {
			if enc.Encode(stall{time.Now(), ms(late)}) != nil {
				return 0
			}
		}
	}
}

// canary takes down the machine's stalls until ctx ends.
func (s *soak) canary(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleCanary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for dec := json.NewDecoder(out); ; {
		var one stall
		if dec.Decode(&one) != nil {
			_ = cmd.Wait()
			return ctx.Err()
		}
		s.mu.Lock()
		s.stalls = append(s.stalls, one)
		s.mu.Unlock()
	}
}

// change is a new term of the coordinators, when it was first seen.
type change struct {
	at   time.Time
	term uint64
}

// terms takes down when leadership changes.
func (s *soak) terms(ctx context.Context) error {
	tick := time.NewTicker(termEvery)
	defer tick.Stop()
	last := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c, err := s.looker.Cluster(ctx)
		if err != nil || c.Leader == "" || c.Term <= last {
			continue
		}
		if last > 0 {
			s.mu.Lock()
			s.changes = append(s.changes, change{time.Now(), c.Term})
			s.mu.Unlock()
		}
		last = c.Term
	}
}

const (
	termEvery = 250 * time.Millisecond
	// A new leader is there, and seen, so long after what made the old one fall.
	electionAfter = 5 * time.Second
)

// changesBy sorts the changes of leadership by what explains them: a leader
// that was killed, a machine that stood still, nothing.
func (s *soak) changesBy() (killed, stalled, unexplained int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	within := func(at, of time.Time) bool { return !at.After(of) && of.Sub(at) < electionAfter }
	for _, c := range s.changes {
		switch {
		case slices.ContainsFunc(s.kills, func(k kill) bool { return k.leader && within(k.at, c.at) }):
			killed++
		case slices.ContainsFunc(s.stalls, func(t stall) bool { return within(t.At.Add(-time.Duration(t.Ms*1e6)), c.at) }):
			stalled++
		default:
			unexplained++
		}
	}
	return killed, stalled, unexplained
}

// worstStall gives the longest, in milliseconds.
func (s *soak) worstStall() (worst float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.stalls {
		worst = max(worst, t.Ms)
	}
	return worst
}
