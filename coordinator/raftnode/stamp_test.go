package raftnode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// A leader hears a heartbeat of a newer term just before it writes, as one does that stood still
// meanwhile: the entry has a term in which it was elected, or is not written. Raft takes heartbeats
// beside its main loop, which would stamp the entry with the term that it has just heard of, and
// the entry of that term's leader has then the same index and the same term.
func TestALeaderWritesInTermsOfItsOwn(t *testing.T) {
	all, leader := cluster(t, nil)
	elected, written := map[string]bool{}, 0
	in := func(m *member, term uint64) string { return fmt.Sprintf("%s in term %d", m.ID(), term) }
	for written < 20 {
		term, ok := leader.Established()
		if !ok {
			leader = leads(t, all...)
			continue
		}
		elected[in(leader, term)] = true
		usurper := others(all, leader)[0]
		beat := raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(usurper.ID()), Addr: []byte(usurper.Address())},
			Term:      term + 1,
		}
		err := usurper.trans.AppendEntries(raft.ServerID(leader.ID()), raft.ServerAddress(leader.Address()), &beat, &raft.AppendEntriesResponse{})
		if err == nil || !strings.Contains(err.Error(), errNewTerm.Error()) {
			t.Errorf("a heartbeat of term %d at the leader of term %d: %v", beat.Term, term, err)
		}
		// As if it had been proposed before the heartbeat came.
		proposed := leader.raft.Apply(encodeEntry(kindWhole, []byte("a line")), 0)
		_ = proposed.Error()
		var entry raft.Log
		if proposed.Index() == 0 || leader.disk.GetLog(proposed.Index(), &entry) != nil {
			continue
		}
		written++
		by := in(leader, entry.Term)
		eventually(t, by+": elected there, as it wrote there", func() bool {
			for len(leader.terms) > 0 {
				elected[in(leader, <-leader.terms)] = true
			}
			return elected[by]
		})
	}
}
