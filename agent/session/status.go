package session

import (
	"context"
	"strings"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/executor"
	"backfleet/agent/keeper"
	"backfleet/agent/monotonic"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Status is how a session stands, for who is on its host.
type Status struct {
	// Connected: with the leader, who has answered.
	Connected   bool   `json:"connected"`
	Coordinator string `json:"coordinator,omitempty"` // the last one of the stream
	// AnsweredMs is how long ago the last report was sent that has been answered.
	AnsweredMs int64 `json:"answeredMs,omitempty"`
	Draining   bool  `json:"draining"`
	// StopsInMs is when what runs is stopped, if the agent drains with a deadline.
	StopsInMs int64           `json:"stopsInMs,omitempty"`
	Keeper    *KeeperStatus   `json:"keeper,omitempty"` // none: there is none at the moment
	Attempts  []AttemptStatus `json:"attempts"`
	Counts    Counts          `json:"counts"`
}

// Counts are of the life of the agent's process.
type Counts struct {
	Sessions uint64 `json:"sessions"` // that a leader has welcomed
	Keepers  uint64 `json:"keepers"`  // that it had
	// Results are those that became known here, by outcome.
	Results map[string]uint64 `json:"results,omitempty"`
	// ClockOffsetMs is how far this host's clock is ahead of the coordinator's that
	// it connected to last; ClockKnown: one has said.
	ClockOffsetMs int64 `json:"clockOffsetMs"`
	ClockKnown    bool  `json:"clockKnown"`
}

// KeeperStatus is the keeper of the attempts.
type KeeperStatus struct {
	Pid         int64  `json:"pid"`
	Version     string `json:"version"`
	Incarnation string `json:"incarnation"`
	Binary      string `json:"binary"` // SHA-256 of its program
	// Outdated says why it is not of the agent's own program; empty: it is.
	Outdated string `json:"outdated,omitempty"`
	// Dropped are lines that attempts wrote and that are in no log, since the
	// keeper's process began.
	Dropped DroppedLines `json:"droppedLines,omitzero"`
}

// DroppedLines says how many, by why: a log had reached its limit, or the disk
// took nothing more.
type DroppedLines struct {
	Limit uint64 `json:"limit"`
	Disk  uint64 `json:"disk"`
}

// AttemptStatus is an attempt that is here.
type AttemptStatus struct {
	Instance string `json:"instance"`
	Attempt  uint32 `json:"attempt"`
	Fence    uint64 `json:"fence"`
	// State: starting, waiting (for a slot), running, ended (the leader does not
	// know yet), or shipping (only its log is on its way).
	State string `json:"state"`
	// LeaseMs is for how long it may run without a renewal; 0: not known yet.
	LeaseMs int64  `json:"leaseMs,omitempty"`
	Outcome string `json:"outcome,omitempty"`
}

// Status asks the loop, so it also tells that the loop is alive, and the keeper
// what only it counts. It fails with ctx, or when the session has ended.
func (s *Session) Status(ctx context.Context) (Status, error) {
	var known *keeper.Client
	answer := make(chan Status, 1)
	s.post(func(now time.Duration) {
		known = s.known
		answer <- s.status(now)
	})
	select {
	case status := <-answer:
		if known != nil {
			status.Keeper.Dropped = dropped(ctx, known)
		}
		return status, nil
	case <-s.ended:
		return Status{}, fault.New(fault.Unavailable, "the agent is ending")
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}

// status is for the loop.
func (s *Session) status(now time.Duration) Status {
	out := s.core.status(now)
	out.Counts = s.counts
	out.Counts.Results = s.core.results()
	if s.stream != nil {
		out.Coordinator = s.stream.address
	}
	if at := s.drain.stopAt; at > 0 {
		out.StopsInMs = max(at-monotonic.Now(), 0).Milliseconds()
	}
	if k := s.known; k != nil {
		out.Keeper = keeperStatus(k)
	}
	return out
}

// keeperWithin is how long a keeper may take to say what it has counted.
const keeperWithin = time.Second

// dropped asks a keeper; one that is going, or hangs, says nothing.
func dropped(ctx context.Context, k *keeper.Client) (out DroppedLines) {
	ctx, cancel := context.WithTimeout(ctx, keeperWithin)
	defer cancel()
	if info, err := k.KeeperClient.Info(ctx, &wire.KeeperInfoRequest{}); err == nil {
		out.Limit, out.Disk = info.GetDropped().GetLimit(), info.GetDropped().GetDisk()
	}
	return out
}

func keeperStatus(k *keeper.Client) *KeeperStatus {
	return &KeeperStatus{Pid: k.Info.Pid, Version: k.Info.Version, Incarnation: k.Info.Incarnation, Binary: k.Info.StartedWith, Outdated: k.Outdated}
}

func (c *Core) status(now time.Duration) Status {
	out := Status{Connected: c.welcomed, Draining: c.draining, Attempts: make([]AttemptStatus, 0, len(c.attempts))}
	if c.welcomed {
		out.AnsweredMs = (now - c.answered).Milliseconds()
	}
	for _, key := range c.keys() {
		out.Attempts = append(out.Attempts, c.attempts[key].status(key, now))
	}
	return out
}

// results counts them by outcome, in lower case.
func (c *Core) results() map[string]uint64 {
	out := make(map[string]uint64, len(c.outcomes))
	for o, n := range c.outcomes {
		out[strings.ToLower(o.String())] = n
	}
	return out
}

func (h *held) status(key attempt.Key, now time.Duration) AttemptStatus {
	a := AttemptStatus{Instance: executor.InstanceName(key), Attempt: key.Attempt, Fence: key.Fence}
	switch {
	case h.acked:
		a.State = "shipping"
	case h.result != nil:
		a.State = "ended"
	case h.start != nil:
		a.State = "starting"
	case h.waits():
		a.State = "waiting"
	default:
		a.State = "running"
	}
	if h.result != nil {
		a.Outcome = h.result.Outcome.String()
	} else if h.deadline > 0 {
		a.LeaseMs = max(h.deadline-now, 0).Milliseconds()
	}
	return a
}
