package raftnode

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// sentPipeline notes what is sent.
type sentPipeline struct {
	raft.AppendPipeline
	sent []*raft.AppendEntriesRequest
}

func (s *sentPipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	s.sent = append(s.sent, args)
	return leftOut{time.Now(), args, resp}, nil
}

func TestAppendsThatTellNothingAreLeftOut(t *testing.T) {
	doubt := false
	below := &sentPipeline{}
	p := &pipeline{AppendPipeline: below, doubted: func() bool { return doubt }}
	send := func(prev, commit uint64, entries ...*raft.Log) {
		t.Helper()
		args := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: prev, PrevLogTerm: 2, LeaderCommitIndex: commit, Entries: entries}
		if f, err := p.AppendEntries(args, new(raft.AppendEntriesResponse)); err != nil || f == nil || f.Request() != args {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	expect := func(what string, count int) {
		t.Helper()
		if len(below.sent) != count {
			t.Fatalf("%s: %d appends were sent, want %d", what, len(below.sent), count)
		}
	}
	send(7, 6)
	expect("the first", 1)
	send(7, 6)
	expect("a repetition", 1)
	send(7, 7)
	expect("a new commit index", 2)
	send(7, 7, &raft.Log{Index: 8, Term: 3})
	expect("an entry", 3)
	p.at = time.Now().Add(-tellAfter)
	if wait := p.tell(3, 8); wait != 0 {
		t.Errorf("something is left to tell in %s", wait)
	}
	expect("told that the entry is committed", 4)
	if a := below.sent[3]; a.Term != 3 || a.PrevLogEntry != 8 || a.PrevLogTerm != 3 || a.LeaderCommitIndex != 8 || len(a.Entries) != 0 {
		t.Errorf("told %+v", a)
	}
	p.tell(3, 8)
	p.tell(4, 9) // of a term in which this pipeline says nothing
	expect("nothing to tell", 4)
	if wait := p.tell(3, 9); wait <= 0 || wait > tellAfter {
		t.Errorf("just after another append: to be told in %s", wait)
	}
	expect("too soon to tell", 4)
	doubt = true
	p.told.entryTerm = 2
	send(8, 8)
	expect("a follower that did not answer", 5)
	doubt = false
	p.at = time.Now().Add(-quietest)
	send(8, 8)
	expect("after a long silence", 6)
}

// TestFollowersLearnSoon: a follower has what was committed well before raft
// itself would tell it, and a follower that was away learns what it missed
// though nothing is written.
func TestFollowersLearnSoon(t *testing.T) {
	all, leader := cluster(t, nil)
	follower := others(all, leader)[0]
	soon := 0
	for range 20 {
		index := mustPropose(t, leader, "x")
		begin := time.Now()
		if err := follower.WaitIndex(within(t), index); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) < leader.timing.commit {
			soon++
		}
	}
	if soon < 10 { // on a busy machine some may be late
		t.Errorf("%d of 20 entries were known to the follower within the commit timeout", soon)
	}
	if err := follower.Stop(abrupt()); err != nil {
		t.Fatal(err)
	}
	back := start(t, follower.cfg)
	if err := back.WaitIndex(within(t), leader.Applied()); err != nil {
		t.Error(err)
	}
}
