package standin

import (
	"context"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func newChannels() map[string]*wire.Channel {
	return map[string]*wire.Channel{
		"ops": {Name: "ops", Kind: wire.Channel_WEBHOOK, Url: "https://hooks.example.org/backfleet", Secret: &wire.Secret{File: "ops-hook"}},
	}
}

func newNotifications() map[uint64]*wire.SnapshotNotification {
	return map[uint64]*wire.SnapshotNotification{
		1: {Id: 1, State: wire.SnapshotNotification_DELIVERED, Tries: 1, TriedMs: At.UnixMilli(), Notification: &wire.Notification{
			Channel: "ops", Occasion: wire.Occasion_FINISHED, Plan: 1, AtMs: At.UnixMilli(), Text: "finished"}},
		2: {Id: 2, State: wire.SnapshotNotification_DEAD, Tries: 9, TriedMs: At.UnixMilli(), Error: "it answered 500", Notification: &wire.Notification{
			Channel: "ops", Occasion: wire.Occasion_FAILURE, Plan: 1, Instance: 1, WithInstance: true, Count: 2, AtMs: At.UnixMilli(), Text: "2 instances have failed"}},
	}
}

func (b *Backend) Channels(context.Context, string, server.Page) ([]v1.Channel, server.Next, error) {
	return gather(b, b.channels, "Channels", convert.Channel)
}

func (b *Backend) Channel(_ context.Context, name string) (*v1.Channel, error) {
	return one(b, b.channels, "channel", name, convert.Channel)
}

func (b *Backend) PutChannel(_ context.Context, w server.Write, c *wire.Channel) (*v1.Channel, uint64, error) {
	c, err := channel.Compile(c)
	if err == nil {
		_, err = channel.ParseTemplates(c)
	}
	if err != nil {
		return nil, 0, err
	}
	return set(b, w, b.channels, "PutChannel", c.Name, c, convert.Channel)
}

func (b *Backend) RemoveChannel(_ context.Context, w server.Write, name string) (uint64, error) {
	if err := b.fails("RemoveChannel"); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.channels[name]; !ok {
		return 0, fault.New(fault.NotFound, "there is no channel %q", name)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	delete(b.channels, name)
	return b.index, nil
}

// TestChannel delivers, except to one that is called broken.
func (b *Backend) TestChannel(_ context.Context, w server.Write, name string) (*v1.Notification, uint64, error) {
	if err := b.fails("TestChannel"); err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.channels[name]; !ok {
		return nil, 0, fault.New(fault.NotFound, "there is no channel %q", name)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	n := &wire.SnapshotNotification{Id: uint64(len(b.notifications)) + 1, State: wire.SnapshotNotification_DELIVERED, Tries: 1, TriedMs: At.UnixMilli(),
		Notification: &wire.Notification{Channel: name, Occasion: wire.Occasion_TEST, AtMs: At.UnixMilli(), Text: "a test"}}
	if name == "broken" {
		n.State, n.Error = wire.SnapshotNotification_DEAD, "it answered 500"
	}
	b.notifications[n.Id] = n
	out := convert.Notification(n)
	return &out, b.index, nil
}

func (b *Backend) Notifications(_ context.Context, f server.NotificationFilter, _ server.Page) ([]v1.Notification, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []v1.Notification{}
	for id := uint64(len(b.notifications)); id > 0; id-- {
		n := b.notifications[id]
		if (len(f.States) == 0 || slices.Contains(f.States, n.State)) && (f.Channel == "" || f.Channel == n.Notification.Channel) {
			list = append(list, convert.Notification(n))
		}
	}
	return list, "", b.fails("Notifications")
}

func (b *Backend) Notification(_ context.Context, id uint64) (*v1.Notification, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.notifications[id]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no notification %s", channel.FormatID(id))
	}
	out := convert.Notification(n)
	return &out, nil
}

func (b *Backend) RetryNotification(ctx context.Context, w server.Write, id uint64) (*v1.Notification, uint64, error) {
	if err := b.fails("RetryNotification"); err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	n := b.notifications[id]
	switch {
	case n == nil:
		b.mu.Unlock()
		return nil, 0, fault.New(fault.NotFound, "there is no notification %s", channel.FormatID(id))
	case n.State == wire.SnapshotNotification_DELIVERED:
		b.mu.Unlock()
		return nil, 0, fault.New(fault.Conflict, "notification %s: it was delivered", channel.FormatID(id))
	}
	b.index++
	b.Writes = append(b.Writes, w)
	n.State, n.NextMs = wire.SnapshotNotification_PENDING, At.UnixMilli()
	index := b.index
	b.mu.Unlock()
	out, err := b.Notification(ctx, id)
	return out, index, err
}

func (b *Backend) RetryDead(_ context.Context, w server.Write, name string) (*v1.NotificationsRetried, error) {
	if err := b.fails("RetryDead"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &v1.NotificationsRetried{}
	for _, n := range b.notifications {
		if n.State == wire.SnapshotNotification_DEAD && n.Notification.Channel == name {
			n.State, n.NextMs = wire.SnapshotNotification_PENDING, At.UnixMilli()
			out.Count++
		}
	}
	b.index++
	b.Writes = append(b.Writes, w)
	out.Index = b.index
	return out, nil
}
