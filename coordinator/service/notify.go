package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

const channelList, notificationList = "channel", "notification"

// testTime is how long the test of a channel is waited for.
const testTime = 15 * time.Second

func channels(st *state.State) map[string]*wire.Channel {
	known := map[string]*wire.Channel{}
	st.Channels(func(c *wire.Channel) { known[c.Name] = c })
	return known
}

func showChannel(st *state.State) func(string, *wire.Channel) v1.Channel {
	pending, dead := map[string]int{}, map[string]int{}
	st.Notifications(0, func(n *wire.SnapshotNotification) bool {
		switch n.State {
		case wire.SnapshotNotification_PENDING:
			pending[n.Notification.Channel]++
		case wire.SnapshotNotification_DEAD:
			dead[n.Notification.Channel]++
		}
		return true
	})
	return func(name string, c *wire.Channel) v1.Channel {
		out := convert.Channel(c)
		out.Pending, out.Dead = pending[name], dead[name]
		return out
	}
}

// Channels implements server.Notifications.
func (s *Service) Channels(_ context.Context, contains string, page server.Page) ([]v1.Channel, server.Next, error) {
	st := s.Machine.State()
	return settings(channels(st), contains, page, channelList, showChannel(st))
}

// Channel implements server.Notifications.
func (s *Service) Channel(_ context.Context, name string) (*v1.Channel, error) {
	st := s.Machine.State()
	c, ok := st.Channel(name)
	if !ok {
		return nil, noChannel(name)
	}
	out := showChannel(st)(name, c)
	return &out, nil
}

func noChannel(name string) error {
	return fault.New(fault.NotFound, "there is no channel %q: it was removed, or never was", name)
}

// PutChannel implements server.Notifications.
func (s *Service) PutChannel(ctx context.Context, w server.Write, c *wire.Channel) (*v1.Channel, uint64, error) {
	answer, err := s.once(ctx, w, func(_ *state.State, command *wire.Command) error {
		command.Body = &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: c}}
		own, err := channel.Compile(c) // what is in the log is read by many: nothing goes there to be refused
		if err == nil {
			_, err = channel.ParseTemplates(own)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.Channel(ctx, c.Name)
	return out, answer.Index, err
}

// RemoveChannel implements server.Notifications.
func (s *Service) RemoveChannel(ctx context.Context, w server.Write, name string) (uint64, error) {
	return s.put(ctx, w, &wire.Command{Body: &wire.Command_RemoveChannel{RemoveChannel: &wire.RemoveChannel{Name: name}}})
}

// TestChannel implements server.Notifications. The test goes the way of all
// notifications, by the outbox and the leader's deliverer.
func (s *Service) TestChannel(ctx context.Context, w server.Write, name string) (*v1.Notification, uint64, error) {
	feed, _ := s.Machine.Follow() // before it is raised, so that nothing is missed
	defer feed.Close()
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		c.Body = &wire.Command_Notify{Notify: &wire.Notify{Notifications: []*wire.Notification{{
			Key: "test/" + name, Channel: name, Occasion: wire.Occasion_TEST, AtMs: s.Now().UnixMilli(),
			Text: fmt.Sprintf("%s tries channel %q", w.Actor, name),
		}}}}
		if _, ok := st.Channel(name); !ok {
			return noChannel(name)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if len(answer.Notifications) == 0 {
		return nil, 0, fault.New(fault.Overloaded, "the outbox is full of notifications that are to be delivered: look at backfleet notification list --state pending")
	}
	id := answer.Notifications[0]
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	for {
		n, ok := s.Machine.State().Notification(id)
		if !ok {
			return nil, 0, fault.New(fault.NotFound, "notification %s was forgotten meanwhile", channel.FormatID(id))
		}
		if n.State == wire.SnapshotNotification_PENDING && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-feed.Ready():
				feed.Take()
			}
			continue
		}
		out := convert.Notification(n)
		return &out, answer.Index, nil
	}
}

// Notifications implements server.Notifications.
func (s *Service) Notifications(_ context.Context, f server.NotificationFilter, page server.Page) ([]v1.Notification, server.Next, error) {
	after, err := afterNumber(page, notificationList)
	if err != nil {
		return nil, "", err
	}
	below, out := uint64(0), []v1.Notification{}
	if after > 0 {
		if below = after - 1; below == 0 {
			return out, "", nil
		}
	}
	next, last := server.Next(""), uint64(0)
	s.Machine.State().Notifications(below, func(n *wire.SnapshotNotification) bool {
		m := n.Notification
		switch {
		case len(f.States) > 0 && !slices.Contains(f.States, n.State), f.Channel != "" && m.Channel != f.Channel,
			f.Plan != 0 && m.Plan != f.Plan, len(f.Occasions) > 0 && !slices.Contains(f.Occasions, m.Occasion):
			return true
		case len(out) == page.Limit:
			next = numberCursor(notificationList, last)
			return false
		}
		out, last = append(out, convert.Notification(n)), n.Id
		return true
	})
	return out, next, nil
}

// Notification implements server.Notifications.
func (s *Service) Notification(_ context.Context, id uint64) (*v1.Notification, error) {
	n, ok := s.Machine.State().Notification(id)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no notification %s: those delivered or dead for long are forgotten", channel.FormatID(id))
	}
	out := convert.Notification(n)
	return &out, nil
}

// RetryNotification implements server.Notifications.
func (s *Service) RetryNotification(ctx context.Context, w server.Write, id uint64) (*v1.Notification, uint64, error) {
	index, err := s.put(ctx, w, &wire.Command{Body: &wire.Command_RetryNotifications{RetryNotifications: &wire.RetryNotifications{Ids: []uint64{id}}}})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.Notification(ctx, id)
	return out, index, err
}

// RetryDead implements server.Notifications. That none is dead is no error.
func (s *Service) RetryDead(ctx context.Context, w server.Write, name string) (*v1.NotificationsRetried, error) {
	st := s.Machine.State()
	var ids []uint64
	st.Notifications(0, func(n *wire.SnapshotNotification) bool {
		if n.State == wire.SnapshotNotification_DEAD && n.Notification.Channel == name {
			ids = append(ids, n.Id)
		}
		return true
	})
	if known, err := kept(st, w); err != nil || known == nil && len(ids) == 0 {
		if _, ok := st.Channel(name); !ok && err == nil {
			err = noChannel(name)
		}
		return &v1.NotificationsRetried{Index: st.Index()}, err
	}
	answer, err := s.once(ctx, w, func(_ *state.State, c *wire.Command) error {
		c.Body = &wire.Command_RetryNotifications{RetryNotifications: &wire.RetryNotifications{Ids: ids}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &v1.NotificationsRetried{Count: int(answer.Instances), Index: answer.Index}, nil
}

// unknownChannels finds channels that are named and that do not exist: a warning
// only, for channels come and go.
func unknownChannels(st *state.State, field string, list []*wire.Subscription) (out []v1.Warning) {
	for i, sub := range list {
		if _, ok := st.Channel(sub.Channel); !ok {
			w := warning("channel", `there is no channel "{channel}" yet: what happens until it is there, nobody is told`, "channel", sub.Channel)
			w.Field = fmt.Sprintf("%s[%d].channel", field, i)
			out = append(out, w)
		}
	}
	return out
}

// channelWarnings are those of nodes that are applied.
func channelWarnings(st *state.State, nodes []*wire.Node) (out []v1.Warning) {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b *wire.Node) int { return cmp.Compare(a.Id, b.Id) })
	for _, n := range nodes {
		out = append(out, unknownChannels(st, fmt.Sprintf("nodes[%q].notify", n.Id), n.Notify)...)
	}
	return out
}

// namedWarnings are of what nodes name and nobody has set.
func namedWarnings(st *state.State, nodes []*wire.Node) []v1.Warning {
	return append(sourceWarnings(st, nodes), channelWarnings(st, nodes)...)
}

// Told is how a plan stands, for who is told of it; false: it is forgotten.
func (s *Service) Told(planID uint64) (channel.Backfill, bool) {
	r := s.read()
	r.left = entryLooks
	p, ok := r.st.Plan(planID)
	if !ok {
		return channel.Backfill{}, false
	}
	counts := p.Total()
	c := shownCounts(counts, 0)
	return channel.Backfill{
		ID: plan.FormatID(planID), Name: p.Name, State: string(r.motion(p).plan()),
		Counts: channel.Counts{Total: c.Total, Running: c.Running, Succeeded: c.Succeeded, Failed: c.Failed, Frozen: c.Frozen, Waiting: c.NotRunning},
	}, true
}

// notification tells what became of one.
func (d *entry) notification(planID, id uint64) {
	n, ok := d.st.Notification(id)
	if !ok {
		return
	}
	text := "is to be told to channel "
	switch {
	case n.State == wire.SnapshotNotification_DELIVERED:
		text = "was told to channel "
	case n.State == wire.SnapshotNotification_DEAD:
		text = "could not be told to channel "
	case n.Tries > 0:
		text = "is tried again, to channel "
	}
	text += n.Notification.Channel + ": " + n.Notification.Text
	if n.Error != "" {
		text += " (" + n.Error + ")"
	}
	d.add(planID, &v1.Event{Type: v1.EventTypeNotification, Notification: channel.FormatID(id), Text: text})
}
