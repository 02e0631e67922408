package raftnode

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"

	"github.com/hashicorp/raft"
)

// passport is the generation that this node shows and asks for on every
// connection of the replicated log. Its zero value is the generation 0, of a
// cluster of a binary that knew of none: nothing is shown, and nothing expected.
type passport struct {
	generation atomic.Uint64
	awaits     atomic.Bool // the node is no member yet: it answers nobody
}

// greeting begins a connection of a cluster with a generation, and is answered by
// one byte. The log's own messages begin with a byte below 32.
const greeting = "BFGEN\x01"

const welcome = 1

// show tells who was dialed of which generation this node is.
func (p *passport) show(conn net.Conn) error {
	g := p.generation.Load()
	if g == 0 {
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint64([]byte(greeting), g)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != welcome {
		return fault.New(fault.Denied, "it is of another generation, or of another cluster, than %s", wire.GenerationText(g))
	}
	return conn.SetDeadline(time.Time{})
}

// greeted is an accepted connection: the first read checks the generation.
type greeted struct {
	net.Conn
	pass   *passport
	once   sync.Once
	err    error
	unread []byte
}

// Read implements net.Conn.
func (c *greeted) Read(b []byte) (int, error) {
	c.once.Do(func() { c.err = c.greet() })
	if c.err != nil {
		return 0, c.err
	}
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

func (c *greeted) greet() error {
	var got [len(greeting) + 8]byte
	if _, err := io.ReadFull(c.Conn, got[:1]); err != nil {
		return err
	}
	shown := uint64(0)
	if got[0] == greeting[0] {
		_ = c.Conn.SetReadDeadline(time.Now().Add(handshakeTimeout))
		if _, err := io.ReadFull(c.Conn, got[1:]); err != nil {
			return err
		}
		_ = c.Conn.SetReadDeadline(time.Time{})
		shown = binary.BigEndian.Uint64(got[len(greeting):])
	} else {
		c.unread = got[:1]
	}
	own := c.pass.generation.Load()
	if shown == own && !c.pass.awaits.Load() {
		if shown != 0 {
			_, err := c.Conn.Write([]byte{welcome})
			return err
		}
		return nil
	}
	if shown != 0 {
		_, _ = c.Conn.Write([]byte{0})
	}
	return fault.New(fault.Denied, "a coordinator of generation %s called; this one is of %s", wire.GenerationText(shown), wire.GenerationText(own))
}

// passport is what the folder says of the cluster that it is of.
func (n *Node) passport(cfg Config) (*passport, error) {
	p := &passport{}
	if n.folder == nil {
		return p, nil
	}
	p.generation.Store(n.folder.Generation())
	if cfg.Bootstrap || n.folder.id.Admitted || !cfg.AwaitAdmission {
		return p, nil
	}
	exists, err := raft.HasExistingState(n.stores.logs, n.stores.stable, n.stores.snapshots)
	p.awaits.Store(!exists)
	return p, err
}

// Awaits says that this node is no member yet, see Config.AwaitAdmission.
func (n *Node) Awaits() bool { return n.pass.awaits.Load() }

// Generation is that of the cluster; 0: it has none, or the node is no member yet.
func (n *Node) Generation() uint64 { return n.pass.generation.Load() }

// Admit makes the node a member of a cluster of this generation, durably, after the
// cluster has said that it is one. From then on it answers. Of a member it
// changes nothing.
func (n *Node) Admit(generation uint64) error {
	if !n.Awaits() {
		return nil
	}
	if err := n.folder.change(func(id *identity) { id.Admitted, id.Generation = true, generation }); err != nil {
		return err
	}
	n.pass.generation.Store(generation)
	n.pass.awaits.Store(false)
	return nil
}

// Retire ends the node's part in the cluster for good: it is a member no more.
// The replicated log stops, so that it disturbs nobody, Failed fires, and the
// folder remembers why, so that it is not started from again.
func (n *Node) Retire(why string) error {
	if n.folder != nil {
		if err := n.folder.change(func(id *identity) { id.Retired = why }); err != nil {
			return err
		}
	}
	n.retired.Store(true)
	n.fail(fault.New(fault.Conflict, "coordinator %s is a member no more: %s", n.id, why))
	return nil
}

// Retired says that Failed fired because of Retire.
func (n *Node) Retired() bool { return n.retired.Load() }

// Heard is when a member last answered this node as its leader; zero: never.
func (n *Node) Heard(id string) time.Time { return n.trans.contact(raft.ServerID(id)).at }

// moveSelf corrects the address under which a leader stands in the membership:
// that of one who began with another, or whose folder was made by a restore.
func (n *Node) moveSelf(ctx context.Context) {
	err := n.change(ctx, func(c raft.Configuration, prev uint64) (raft.IndexFuture, error) {
		for _, s := range c.Servers {
			if s.ID == raft.ServerID(n.id) && s.Suffrage == raft.Voter && s.Address != n.trans.LocalAddr() {
				return n.raft.AddVoter(s.ID, n.trans.LocalAddr(), prev, n.timing.election), nil
			}
		}
		return nil, nil
	})
	if err != nil && ctx.Err() == nil {
		n.log.Warn("the membership still has this coordinator's former address", "error", err)
	}
}
