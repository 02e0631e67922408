package state

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func ifMatch(tag string, c *wire.Command) *wire.Command {
	c.IfMatch = tag
	return c
}

// TestR15_5_AChangeRenewsTheTag goes through all that has one: made, changed, and
// removed where that can be.
func TestR15_5_AChangeRenewsTheTag(t *testing.T) {
	m := ready(t, daily("a"), daily("b", "a"))
	m.must(submit(current("a", 3)))
	edits := int32(1)
	for of, c := range map[string]struct {
		put, remove func() *wire.Command
	}{
		"resourceGroup/etl": {put: func() *wire.Command { return group(&wire.PutResourceGroup{Name: "etl"}) }},
		"workspace/w": {put: func() *wire.Command {
			return &wire.Command{Body: &wire.Command_PutWorkspace{PutWorkspace: &wire.PutWorkspace{Id: "w"}}}
		}},
		"region/eu": {put: func() *wire.Command {
			return &wire.Command{Body: &wire.Command_PutRegion{PutRegion: &wire.PutRegion{Id: "eu"}}}
		}},
		"dataSource/local": {
			put: func() *wire.Command {
				return putSource(&wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/a"})
			},
			remove: func() *wire.Command { return removeSource("local") },
		},
		"user/ann": {
			put:    func() *wire.Command { return putUser(developer("ann")) },
			remove: func() *wire.Command { return removeUser("ann") },
		},
		"channel/ops": {
			put: func() *wire.Command {
				return &wire.Command{Body: &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: &wire.Channel{Name: "ops", Kind: wire.Channel_WEBHOOK, Url: "https://example.org/x"}}}}
			},
			remove: func() *wire.Command {
				return &wire.Command{Body: &wire.Command_RemoveChannel{RemoveChannel: &wire.RemoveChannel{Name: "ops"}}}
			},
		},
		"node/c": {
			put: func() *wire.Command {
				edits++
				n := daily("c")
				n.Code = strings.Repeat("true;", int(edits))
				return apply(n)
			},
			remove: func() *wire.Command {
				return &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"c"}}}}
			},
		},
		"backfill/b1": {put: func() *wire.Command { edits++; return editPlan(&wire.EditPlan{Plan: 1, MaxRunning: &edits}) }},
	} {
		t.Run(of, func(t *testing.T) {
			m := &machine{t: t, s: m.s, index: m.index, now: m.now}
			if of != "backfill/b1" {
				if tag := m.s.Tag(of); tag != "" {
					t.Fatalf("before it is there, its tag is %q", tag)
				}
				for _, tag := range []string{"*", "7"} {
					m.refused(fault.Precondition, ifMatch(tag, c.put()))
				}
				m.must(ifMatch(ifNone, c.put()))
			}
			if err := m.refused(fault.Precondition, ifMatch(ifNone, c.put())); !strings.Contains(err.Error(), of+" exists") {
				t.Error(err)
			}
			first := m.s.Tag(of)
			m.must(ifMatch(first, c.put()))
			second := m.s.Tag(of)
			if first == "" || second == "" || second == first {
				t.Fatalf("tags %q and %q", first, second)
			}
			if err := m.refused(fault.Precondition, ifMatch(first, c.put())); !strings.Contains(err.Error(), "its tag is "+second) {
				t.Error(err)
			}
			m.must(ifMatch("*", c.put()))
			if got := restored(t, m.s).Tag(of); got != m.s.Tag(of) {
				t.Errorf("restored, the tag is %q, expected %q", got, m.s.Tag(of))
			}
			if c.remove == nil {
				return
			}
			third := m.s.Tag(of)
			m.refused(fault.Precondition, ifMatch(second, c.remove()))
			m.must(ifMatch(third, c.remove()))
			if tag := m.s.Tag(of); tag != "" {
				t.Errorf("after it is gone, its tag is %q", tag)
			}
			m.must(c.put())
			if tag := m.s.Tag(of); tag == "" || tag == first || tag == second || tag == third {
				t.Errorf("made anew, it has the old tag %q", tag)
			}
		})
	}
}

func TestR15_5_OnlyWhatHasATagCanNameOne(t *testing.T) {
	m := ready(t, daily("a"), daily("b"))
	m.must(submit(current("a", 1)))
	for name, c := range map[string]*wire.Command{
		"two nodes":  apply(daily("a"), daily("b")),
		"submission": submit(current("a", 1)),
		"operation":  op(wire.Operate_FREEZE, of(1, 0)),
		"agents":     onAgents(wire.OperateAgents_DRAIN, "a1"),
		"join token": putToken(&wire.PutJoinToken{Id: "x", SecretHash: TokenHash("x")}),
	} {
		if err := m.refused(fault.Invalid, ifMatch("1", c)); err.Field != "If-Match" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, of := range []string{"", "node/", "node/none", "backfill/b9", "backfill/1", "token/x", "user", "nothing/x"} {
		if tag := m.s.Tag(of); tag != "" {
			t.Errorf("%q has tag %q", of, tag)
		}
	}
}

// TestR15_5_ARetryIsAnsweredWhateverTheTagIsNow: the tag is of before its own
// change.
func TestR15_5_ARetryIsAnsweredWhateverTheTagIsNow(t *testing.T) {
	m := newMachine(t)
	m.must(group(&wire.PutResourceGroup{Name: "etl"}))
	c := ifMatch(m.s.Tag("resourceGroup/etl"), group(&wire.PutResourceGroup{Name: "etl", Description: "x"}))
	c.RequestId, c.RequestHash = "k", []byte("h")
	first := m.must(proto.CloneOf(c))
	if again := m.must(proto.CloneOf(c)); again.Index != first.Index {
		t.Errorf("%v, expected %v", again, first)
	}
}

// TestR15_5_WhatIsOlderThanTagsHasOne: settings of a snapshot without tags.
func TestR15_5_WhatIsOlderThanTagsHasOne(t *testing.T) {
	m := newMachine(t)
	m.must(group(&wire.PutResourceGroup{Name: "etl"}))
	m.untagged()
	if tag := m.s.Tag("resourceGroup/etl"); tag != "0" {
		t.Fatalf("its tag is %q", tag)
	}
	m.must(ifMatch("0", group(&wire.PutResourceGroup{Name: "etl"})))
	if tag := m.s.Tag("resourceGroup/etl"); tag == "0" {
		t.Error("a change does not renew it")
	}
}
