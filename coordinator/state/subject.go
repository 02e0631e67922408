package state

import (
	"strconv"
	"strings"

	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// subject is what a command is about, by names: "user/ann". Of many, the first
// are kept.
type subject struct {
	names []string
	total int
}

// mostNamed is how many things a record of the audit names.
const mostNamed = 10

func about(name string) subject { return subject{names: []string{name}, total: 1} }

func (s *subject) add(name func() string) {
	if s.total++; s.total <= mostNamed {
		s.names = append(s.names, name())
	}
}

// single is the name of the only thing; empty: there is none, or more than one.
func (s subject) single() string {
	if s.total != 1 {
		return ""
	}
	return s.names[0]
}

func (s subject) String() string {
	text := strings.Join(s.names, " ")
	if more := s.total - len(s.names); more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

// subjectOf says what a command is about. What a submission makes is known only
// afterwards.
func subjectOf(c *wire.Command) subject {
	switch b := c.Body.(type) {
	case *wire.Command_ApplyNodes:
		return ofNodes(b.ApplyNodes)
	case *wire.Command_Operate:
		return ofTargets(b.Operate)
	case *wire.Command_EditPlan:
		return about("backfill/" + plan.FormatID(b.EditPlan.GetPlan()))
	case *wire.Command_OperateAgents:
		var s subject
		for _, id := range b.OperateAgents.GetAgents() {
			s.add(func() string { return "agent/" + id })
		}
		return s
	case *wire.Command_PutResourceGroup:
		return about("resourceGroup/" + b.PutResourceGroup.GetName())
	case *wire.Command_PutWorkspace:
		return about("workspace/" + b.PutWorkspace.GetId())
	case *wire.Command_PutRegion:
		return about("region/" + b.PutRegion.GetId())
	case *wire.Command_PutDataSource:
		return about("dataSource/" + b.PutDataSource.GetSource().GetName())
	case *wire.Command_RemoveDataSource:
		return about("dataSource/" + b.RemoveDataSource.GetName())
	case *wire.Command_PutJoinToken:
		return about("joinToken/" + b.PutJoinToken.GetId())
	case *wire.Command_RevokeJoinToken:
		return about("joinToken/" + b.RevokeJoinToken.GetId())
	case *wire.Command_PutChannel:
		return about("channel/" + b.PutChannel.GetChannel().GetName())
	case *wire.Command_RemoveChannel:
		return about("channel/" + b.RemoveChannel.GetName())
	case *wire.Command_PutUser:
		return about("user/" + b.PutUser.GetUser().GetName())
	case *wire.Command_RemoveUser:
		return about("user/" + b.RemoveUser.GetName())
	case *wire.Command_PutToken:
		return about("token/" + b.PutToken.GetId())
	case *wire.Command_RevokeToken:
		return about("token/" + b.RevokeToken.GetId())
	case *wire.Command_PutServer:
		return about("server/" + b.PutServer.GetId())
	case *wire.Command_RemoveServer:
		return about("server/" + b.RemoveServer.GetId())
	}
	return ofNotifications(c)
}

func ofNodes(a *wire.ApplyNodes) (s subject) {
	for _, n := range a.GetNodes() {
		s.add(func() string { return "node/" + n.GetId() })
	}
	for _, id := range a.GetRemove() {
		s.add(func() string { return "node/" + id })
	}
	return s
}

func ofTargets(o *wire.Operate) (s subject) {
	for _, t := range o.GetTargets() {
		if len(t.GetInstances()) == 0 {
			s.add(func() string { return "backfill/" + plan.FormatID(t.GetPlan()) })
		}
		for _, i := range t.GetInstances() {
			s.add(func() string { return "instance/" + plan.FormatInstance(t.GetPlan(), i) })
		}
	}
	return s
}

// ofNotifications names those that are to be sent again, and channels that
// somebody tries.
func ofNotifications(c *wire.Command) (s subject) {
	switch b := c.Body.(type) {
	case *wire.Command_RetryNotifications:
		for _, id := range b.RetryNotifications.GetIds() {
			s.add(func() string { return "notification/" + strconv.FormatUint(id, 10) })
		}
	case *wire.Command_Notify:
		for _, n := range b.Notify.GetNotifications() {
			s.add(func() string { return "notificationTo/" + n.GetChannel() })
		}
	}
	return s
}

// submitted names the backfill that a submission made; of one that was refused,
// the node that was asked for.
func submitted(sub *wire.Submit, answer *wire.Answer) subject {
	if answer != nil {
		return about("backfill/" + plan.FormatID(answer.Plan))
	}
	return about("node/" + sub.GetRequest().GetRoot())
}
