package state

import (
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// First is the version of the rules that a cluster begins with. Every binary
// knows it.
const First = 1

// Behaviour is the version of the rules in force: what a command may say, and
// how it is applied. It is a fact like others and only grows.
func (s *State) Behaviour() uint32 { return s.behaviour }

// Stamp makes a command one that may be proposed now: it gets the version in
// force, which every coordinator's binary knows, and nothing in it is newer. What
// is newer is left out where the command means the same without it, and otherwise
// refused, with the code Unavailable. Only the command that raises the version
// carries the one that it raises to.
func (s *State) Stamp(c *wire.Command) error {
	c.Behaviour = s.behaviour
	switch b := c.Body.(type) {
	case *wire.Command_RaiseBehaviour:
		c.Behaviour = b.RaiseBehaviour.GetTo()
	case *wire.Command_PutServer:
		if s.behaviour < 2 && b.PutServer.GetFolder() != "" {
			v := proto.CloneOf(b.PutServer)
			v.Folder = ""
			c.Body = &wire.Command_PutServer{PutServer: v}
		}
	}
	if c.Behaviour > Newest {
		return fault.New(fault.Unavailable, "rules of version %d were asked for, this binary knows %d", c.Behaviour, Newest)
	}
	return nil
}

// mayFollow says why a command's rules are not those that it may be applied by.
func (s *State) mayFollow(index uint64, c *wire.Command) error {
	to := c.GetRaiseBehaviour().GetTo()
	switch {
	case max(c.Behaviour, to) > Newest:
		return fault.New(fault.Corrupt, "log entry %d follows rules of version %d, this binary knows %d: start the version that the other coordinators run; what has reached version %[2]d cannot go back to this one",
			index, max(c.Behaviour, to), Newest)
	case c.Behaviour > max(s.behaviour, to):
		return fault.New(fault.Internal, "log entry %d follows rules of version %d, in force is %d", index, c.Behaviour, s.behaviour)
	}
	return nil
}

// raise puts newer rules in force. To raise to what is in force already, or was,
// changes nothing.
func (e *Edit) raise(r *wire.RaiseBehaviour) (*wire.Answer, error) {
	if r.GetTo() > e.s.behaviour {
		e.s.behaviour = r.GetTo()
		e.changes = append(e.changes, Change{Kind: ServersChanged})
	}
	return &wire.Answer{}, nil
}
