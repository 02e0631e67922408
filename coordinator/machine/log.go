package machine

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Log proposes commands to the cluster and gives what came of them.
type Log struct {
	node *raftnode.Node
	m    *Machine
	now  func() time.Time
}

// NewLog makes the proposing side of a machine; now stamps each command.
func NewLog(node *raftnode.Node, m *Machine, now func() time.Time) *Log {
	return &Log{node: node, m: m, now: now}
}

// Propose makes a command a fact, and returns once this coordinator's State
// has it, under the rules in force. A refusal by the state machine is returned as its error; the codes
// fault.Unavailable (not applied) and fault.Unknown (perhaps applied) are the
// log's.
func (l *Log) Propose(ctx context.Context, c *wire.Command) (index uint64, r *state.Result, err error) {
	c.NowMs = l.now().UnixMilli()
	if err := l.State().Stamp(c); err != nil {
		return 0, nil, err
	}
	data, err := proto.Marshal(c)
	if err != nil {
		return 0, nil, fault.Wrap(err, fault.Invalid, "the command cannot be written")
	}
	index, out, err := l.node.Propose(ctx, data)
	if err != nil {
		return index, nil, err
	}
	r, ok := out.(*state.Result)
	if !ok {
		return index, nil, fault.New(fault.Internal, "log entry %d gave %T", index, out)
	}
	return index, r, r.Err
}

// State is the facts at hand.
func (l *Log) State() *state.State { return l.m.State() }

// Verify returns nil when this coordinator was the leader at some moment after
// the call.
func (l *Log) Verify(ctx context.Context) error {
	_, err := l.node.ReadIndex(ctx)
	return err
}
