package raftnode

import (
	"context"

	"github.com/hashicorp/raft"
)

// WatchLeader calls fn with the id of who leads, as this node learns of it, and
// with an empty one when nobody is known to; first with the present one. It
// returns when ctx ends or the node stops. A change that is followed by another
// before fn returns may be left out.
func (n *Node) WatchLeader(ctx context.Context, fn func(id string)) {
	changed := make(chan raft.Observation, 1)
	observer := raft.NewObserver(changed, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	last, told := "", false
	for {
		if id, _ := n.Leader(); id != last || !told {
			fn(id)
			last, told = id, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-n.stopping:
			return
		}
	}
}
