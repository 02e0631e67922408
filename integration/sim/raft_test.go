package sim

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/pkg/wire"
)

// replica is a real node of the real Raft, on stores and a network in memory.
type replica struct {
	*raftnode.Node
	machine *machine.Machine
	log     *machine.Log
	network *raft.InmemTransport
	address raft.ServerAddress
}

// raftFleet starts three replicas; the first has bootstrapped the cluster.
func raftFleet(t *testing.T, ctx context.Context) []*replica {
	t.Helper()
	var all []*replica
	for i := range 3 {
		r := &replica{machine: machine.New()}
		r.address, r.network = raft.NewInmemTransportWithTimeout(raft.ServerAddress(fmt.Sprint("c", i+1)), 500*time.Millisecond)
		for _, o := range all {
			o.network.Connect(r.address, r.network)
			r.network.Connect(o.address, o.network)
		}
		store := raft.NewInmemStore()
		node, err := raftnode.Open(raftnode.Config{
			ID: string(r.address), Bootstrap: i == 0, FSM: r.machine,
			Transport: r.network, LogStore: store, StableStore: store, SnapshotStore: raft.NewInmemSnapshotStore(),
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Node, r.log = node, machine.NewLog(node, r.machine, time.Now)
		all = append(all, r)
		t.Cleanup(func() {
			// Abruptly: Raft leaves goroutines behind when a transfer of
			// leadership meets the end of its node.
			over, cancel := context.WithCancel(context.Background())
			cancel()
			if err := r.Stop(over); err != nil {
				t.Error(err)
			}
		})
	}
	leads(t, all[0])
	for _, r := range all[1:] {
		if err := all[0].AddServer(ctx, r.ID(), string(r.address)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3000 { // newcomers are promoted when they have caught up
		voters := 0
		servers, _ := all[0].Servers()
		for _, s := range servers {
			if s.Voter {
				voters++
			}
		}
		if voters == len(all) {
			return all
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("the newcomers have not become voters within 30 s of virtual time")
	return nil
}

// leads waits, in virtual time, until one of the replicas has established its
// leadership.
func leads(t *testing.T, some ...*replica) *replica {
	t.Helper()
	for range 3000 {
		for _, r := range some {
			if _, ok := r.Established(); ok {
				return r
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("nobody leads within 30 s of virtual time")
	return nil
}

func (r *replica) cutOff(all []*replica, cut bool) {
	for _, o := range all {
		switch {
		case o == r:
		case cut:
			o.network.Disconnect(r.address)
			r.network.Disconnect(o.address)
		default:
			o.network.Connect(r.address, r.network)
			r.network.Connect(o.address, o.network)
		}
	}
}

// TestRealRaftInVirtualTime: what the played log of the simulation promises,
// the real one keeps. A leader that is cut off neither verifies nor commits, the
// others go on within seconds, nothing that was answered is lost, and all agree
// in the end (RULES R13.1, R13.7).
func TestRealRaftInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		all := raftFleet(t, ctx)
		leader := all[0]
		answered := map[string]uint64{}
		write := func(r *replica, id string) error {
			c := &wire.Command{RequestId: id, Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: id}}}
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			index, _, err := r.log.Propose(ctx, c)
			if err == nil {
				answered[id] = index
			}
			return err
		}
		for round := range 6 {
			for i := range 10 {
				if err := write(leader, fmt.Sprintf("w%d-%d", round, i)); err != nil {
					t.Fatal(err)
				}
			}
			deposed := leader
			deposed.cutOff(all, true)
			if err := write(deposed, fmt.Sprintf("lost%d", round)); err == nil {
				t.Fatal("a leader without a majority has answered a write")
			}
			start := time.Now()
			var rest []*replica
			for _, r := range all {
				if r != deposed {
					rest = append(rest, r)
				}
			}
			leads(t, rest...)
			if gap := time.Since(start); gap > 5*time.Second {
				t.Errorf("round %d: %s without a leader", round, gap)
			}
			if _, err := deposed.ReadIndex(ctx); err == nil {
				t.Error("a leader that was replaced takes itself for the leader")
			}
			deposed.cutOff(all, false)
			leader = leads(t, all...)
		}
		if err := write(leader, "end"); err != nil {
			t.Fatal(err)
		}
		var hash [32]byte
		for i, r := range all {
			if err := r.WaitIndex(ctx, answered["end"]); err != nil {
				t.Fatal(err)
			}
			st := r.machine.State()
			for id, index := range answered {
				if _, ok := st.Server(id); !ok {
					t.Errorf("%s does not have %s, answered at %d", r.ID(), id, index)
				}
			}
			if h := st.Hash(); i > 0 && h != hash {
				t.Errorf("%s differs from the others", r.ID())
			} else {
				hash = h
			}
		}
	})
}
