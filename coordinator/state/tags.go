package state

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// What Command.if_match is beside a tag.
const (
	ifNone = "none" // there must be no such thing yet
	ifAny  = "*"    // there must be one
)

// settingKinds are the things whose tag is the index of their last change. A
// node's is its version, a backfill's the number of its operations.
var settingKinds = map[string]bool{
	"resourceGroup": true, "workspace": true, "region": true, "dataSource": true, "user": true, "channel": true,
}

// Tag of a thing, by its name ("user/ann"), which each change of it renews (RULES
// R15.5). Empty: there is no such thing. Of what was last changed before there
// were tags it is 0.
func (s *State) Tag(of string) string {
	kind, name, _ := strings.Cut(of, "/")
	switch {
	case kind == "node":
		if n, ok := s.Node(name); ok {
			return strconv.FormatUint(n.Version, 10)
		}
	case kind == "backfill":
		if id, err := plan.ParseID(name); err == nil {
			if p, ok := s.Plan(id); ok {
				return strconv.Itoa(p.log.Len())
			}
		}
	case settingKinds[kind] && s.setting(of) != nil:
		index, _ := s.tags.Get([]byte(of))
		return strconv.FormatUint(index, 10)
	}
	return ""
}

// setting finds what was set, by its name; nil: there is none.
func (s *State) setting(of string) proto.Message {
	kind, name, _ := strings.Cut(of, "/")
	switch kind {
	case "resourceGroup":
		return found(s.groups, name)
	case "workspace":
		return found(s.workspaces, name)
	case "region":
		return found(s.regions, name)
	case "dataSource":
		return found(s.sources, name)
	case "channel":
		return found(s.channels, name)
	case "user":
		if u, ok := s.User(name); ok {
			return u.User
		}
	case "token":
		if t, ok := s.UserToken(name); ok {
			return t.Token
		}
	case "joinToken":
		if t, ok := s.JoinToken(name); ok {
			return t.Token
		}
	}
	return nil
}

func found[T proto.Message](tree *iradix.Tree[T], name string) proto.Message {
	if v, ok := tree.Get([]byte(name)); ok {
		return v
	}
	return nil
}

// matches refuses a command whose thing has another tag than it names (RULES
// R15.5).
func (e *Edit) matches(c *wire.Command, what subject) error {
	if c.IfMatch == "" {
		return nil
	}
	of := what.single()
	if !tagged(of) {
		return fault.Field("If-Match", "only a change of a single node, backfill or setting has a tag: leave it out")
	}
	tag := e.s.Tag(of)
	switch {
	case c.IfMatch == ifNone && tag != "":
		return fault.New(fault.Precondition, "%s exists: nothing was changed; leave If-None-Match out to change it", of)
	case c.IfMatch == ifNone, c.IfMatch == ifAny && tag != "", c.IfMatch == tag:
		return nil
	case tag == "":
		return fault.New(fault.Precondition, "there is no %s: nothing was changed; leave If-Match out to make it", of)
	}
	return fault.New(fault.Precondition, "%s was changed meanwhile: its tag is %s and not %s; nothing was changed; read it again and decide anew", of, tag, clip(c.IfMatch))
}

func tagged(of string) bool {
	kind, _, _ := strings.Cut(of, "/")
	return settingKinds[kind] || kind == "node" || kind == "backfill"
}

// retag renews the tag of a setting that a command has changed, or made, and
// forgets that of one that it has removed.
func (e *Edit) retag(what subject) {
	of := what.single()
	kind, _, _ := strings.Cut(of, "/")
	switch {
	case !settingKinds[kind]:
	case e.s.setting(of) == nil:
		e.s.tags, _, _ = e.s.tags.Delete([]byte(of))
	default:
		e.tag(of)
	}
}

func (e *Edit) tag(of string) { e.s.tags, _, _ = e.s.tags.Insert([]byte(of), e.s.index) }
