package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Bounds of what is kept for notifications.
const (
	maxChannels      = 1000
	maxOutbox        = 10_000 // notifications, whatever became of them
	maxNotifyText    = 1 << 10
	maxNotifyKey     = 512
	maxDeliveryError = 1 << 10
)

// outbox is the notifications, and what has been told at all (RULES R15.6).
type outbox struct {
	next uint64                                   // id of the next one, from 1
	all  *iradix.Tree[*wire.SnapshotNotification] // by id
	open *iradix.Tree[struct{}]                   // ids of those that are to be delivered
	told *iradix.Tree[struct{}]                   // keys of all that were ever raised, behind their plan's id, while that lives
}

func newOutbox() outbox {
	return outbox{next: 1, all: iradix.New[*wire.SnapshotNotification](), open: iradix.New[struct{}](), told: iradix.New[struct{}]()}
}

// put files a notification as it stands now.
func (o *outbox) put(n *wire.SnapshotNotification) {
	o.all, _, _ = o.all.Insert(key1(n.Id), n)
	if n.State == wire.SnapshotNotification_PENDING {
		o.open, _, _ = o.open.Insert(key1(n.Id), struct{}{})
	} else {
		o.open, _, _ = o.open.Delete(key1(n.Id))
	}
}

func (o *outbox) drop(id uint64) {
	o.all, _, _ = o.all.Delete(key1(id))
	o.open, _, _ = o.open.Delete(key1(id))
}

// header is what a snapshot's header says of it: nothing, before there was any.
func (o *outbox) header() uint64 {
	if o.next == 1 {
		return 0
	}
	return o.next
}

func toldKey(n *wire.Notification) []byte { return append(key1(n.Plan), n.Key...) }

// Channel finds a channel. What it gives is never changed.
func (s *State) Channel(name string) (*wire.Channel, bool) { return s.channels.Get([]byte(name)) }

// Channels calls f for every channel, by name.
func (s *State) Channels(f func(*wire.Channel)) {
	s.channels.Root().Walk(func(_ []byte, c *wire.Channel) bool { f(c); return false })
}

// Notification finds a notification that is kept. What it gives is never
// changed.
func (s *State) Notification(id uint64) (*wire.SnapshotNotification, bool) {
	return s.outbox.all.Get(key1(id))
}

// Notifications calls f for every notification that is kept, from the newest to
// the oldest, beginning below an id (0: the newest), until f returns false.
func (s *State) Notifications(below uint64, f func(*wire.SnapshotNotification) bool) {
	it := s.outbox.all.Root().ReverseIterator()
	if below > 0 {
		it.SeekReverseLowerBound(key1(below - 1))
	}
	for _, n, ok := it.Previous(); ok; _, n, ok = it.Previous() {
		if !f(n) {
			return
		}
	}
}

// PendingNotifications calls f for every notification that is to be delivered,
// oldest first.
func (s *State) PendingNotifications(f func(*wire.SnapshotNotification)) {
	eachKey(s.outbox.open, func(id uint64) {
		n, _ := s.Notification(id)
		f(n)
	})
}

// OutboxSize counts the notifications that are kept, and those of them that are
// to be delivered.
func (s *State) OutboxSize() (all, pending int) { return s.outbox.all.Len(), s.outbox.open.Len() }

// Told says whether a notification of a plan was ever raised under a key.
func (s *State) Told(planID uint64, key string) bool {
	_, ok := s.outbox.told.Get(append(key1(planID), key...))
	return ok
}

// EachTold calls f with every key of a plan's notifications that begins with a
// text, in order.
func (s *State) EachTold(planID uint64, prefix string, f func(key string)) {
	s.outbox.told.Root().WalkPrefix(append(key1(planID), prefix...), func(k []byte, _ struct{}) bool {
		f(string(k[8:]))
		return false
	})
}

// putChannel adds or replaces a channel.
func (e *Edit) putChannel(c *wire.Channel) (*wire.Answer, error) {
	own, err := channel.Compile(c)
	if err != nil {
		return nil, err
	}
	old, ok := e.s.Channel(own.Name)
	switch {
	case ok && proto.Equal(old, own):
		return &wire.Answer{}, nil
	case !ok && e.s.channels.Len() >= maxChannels:
		return nil, fault.New(fault.TooLarge, "there are %d channels, as many as there may be: remove one that is not used", maxChannels)
	}
	e.s.channels, _, _ = e.s.channels.Insert([]byte(own.Name), own)
	e.changes = append(e.changes, Change{Kind: ChannelsChanged})
	return &wire.Answer{}, nil
}

// removeChannel leaves subscriptions as they are, for nodes come from folders
// that know nothing of it. What is pending there is dead.
func (e *Edit) removeChannel(name string) (*wire.Answer, error) {
	channels, _, ok := e.s.channels.Delete([]byte(name))
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no channel %q: it was removed before, or never was", name)
	}
	e.s.channels = channels
	e.changes = append(e.changes, Change{Kind: ChannelsChanged})
	var dead []*wire.SnapshotNotification
	e.s.PendingNotifications(func(n *wire.SnapshotNotification) {
		if n.Notification.Channel == name {
			dead = append(dead, n)
		}
	})
	for _, n := range dead {
		n = proto.CloneOf(n)
		n.State, n.NextMs, n.Error = wire.SnapshotNotification_DEAD, 0, "the channel was removed"
		e.putNotification(n)
	}
	return &wire.Answer{Instances: uint64(len(dead))}, nil
}

// putNotification files a notification and tells of it. The message is not the
// caller's any more.
func (e *Edit) putNotification(n *wire.SnapshotNotification) {
	e.s.outbox.put(n)
	e.changes = append(e.changes, Change{Kind: NotificationChanged, Plan: n.Notification.Plan, Instance: n.Id})
}

// notify puts notifications into the outbox: each key once, while its plan
// lives. One to a channel that does not exist or is disabled counts as told and
// goes nowhere, so that a channel that comes later is not told of what is long
// past. One that has no room is left out and may be raised again.
func (e *Edit) notify(n *wire.Notify) (*wire.Answer, error) {
	answer := &wire.Answer{}
	for _, one := range n.Notifications {
		if err := checkNotification(one); err != nil {
			return nil, err
		}
	}
	for _, one := range n.Notifications {
		test := one.Occasion == wire.Occasion_TEST
		c, ok := e.s.Channel(one.Channel)
		if test && !ok {
			return nil, fault.New(fault.NotFound, "there is no channel %q", one.Channel)
		}
		if _, alive := e.s.Plan(one.Plan); !test && (!alive || e.s.Told(one.Plan, one.Key)) {
			continue
		}
		goes := test || ok && !c.Disabled
		if goes && !e.s.outbox.room() {
			continue
		}
		if !test {
			e.s.outbox.told, _, _ = e.s.outbox.told.Insert(toldKey(one), struct{}{})
		}
		if !goes {
			continue
		}
		id := e.s.outbox.next
		e.s.outbox.next++
		e.putNotification(&wire.SnapshotNotification{Id: id, Notification: one, NextMs: e.s.nowMs})
		answer.Notifications = append(answer.Notifications, id)
	}
	return answer, nil
}

func checkNotification(n *wire.Notification) error {
	_, known := wire.Occasion_name[int32(n.GetOccasion())]
	switch test := n.GetOccasion() == wire.Occasion_TEST; {
	case !known || n.Occasion == wire.Occasion_OCCASION_UNSPECIFIED:
		return fault.Field("occasion", "%d is not an occasion that this version knows", n.GetOccasion())
	case test != (n.Plan == 0):
		return fault.Field("plan", "expected the plan of what is told, and none of a test")
	case n.Key == "" || len(n.Key) > maxNotifyKey || !utf8.ValidString(n.Key):
		return fault.Field("key", "expected a text of 1 to %d bytes", maxNotifyKey)
	case len(n.Text) > maxNotifyText || !utf8.ValidString(n.Text):
		return fault.Field("text", "expected a text of at most %d bytes", maxNotifyText)
	}
	return nil
}

// room makes room for one more by dropping the oldest that is not pending; false
// when all of them are.
func (o *outbox) room() bool {
	if o.all.Len() < maxOutbox {
		return true
	}
	if o.open.Len() >= o.all.Len() {
		return false
	}
	oldest := uint64(0)
	o.all.Root().Walk(func(_ []byte, n *wire.SnapshotNotification) bool {
		if n.State != wire.SnapshotNotification_PENDING {
			oldest = n.Id
		}
		return oldest > 0
	})
	o.drop(oldest)
	return true
}

// deliver takes in what came of trying. What is said of one that is not pending
// any more is late, and changes nothing.
func (e *Edit) deliver(d *wire.Delivery) (*wire.Answer, error) {
	answer := &wire.Answer{}
	for _, t := range d.Tried {
		old, ok := e.s.Notification(t.Id)
		if !ok || old.State != wire.SnapshotNotification_PENDING {
			continue
		}
		n := proto.CloneOf(old)
		n.Tries++
		n.TriedMs, n.NextMs, n.Error = t.AtMs, t.NextMs, clipTo(t.Error, maxDeliveryError)
		switch {
		case t.Delivered:
			n.State, n.NextMs, n.Error = wire.SnapshotNotification_DELIVERED, 0, ""
		case t.Dead:
			n.State, n.NextMs = wire.SnapshotNotification_DEAD, 0
		}
		e.putNotification(n)
		answer.Instances++
	}
	for _, id := range d.Forget {
		if n, ok := e.s.Notification(id); ok && n.State != wire.SnapshotNotification_PENDING {
			e.s.outbox.drop(id)
			answer.Instances++
		}
	}
	return answer, nil
}

// retryNotifications has dead ones tried again, as if they were new, and pending
// ones at once.
func (e *Edit) retryNotifications(r *wire.RetryNotifications) (*wire.Answer, error) {
	ids := slices.Compact(slices.Sorted(slices.Values(r.Ids)))
	if len(ids) == 0 {
		return nil, fault.Field("ids", "none is named: there is nothing to try again")
	}
	no := &refusal{verb: "retry"}
	for _, id := range ids {
		name := fmt.Sprintf("n%d", id)
		n, ok := e.s.Notification(id)
		switch {
		case !ok:
			no.add(fault.NotFound, name, "there is no such notification; those delivered or dead for long are forgotten")
		case n.State == wire.SnapshotNotification_DELIVERED:
			no.add(fault.Conflict, name, "it was delivered")
		default:
			if _, ok := e.s.Channel(n.Notification.Channel); !ok {
				no.add(fault.Conflict, name, fmt.Sprintf("its channel %q does not exist any more", n.Notification.Channel))
			}
		}
	}
	if err := no.err(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		old, _ := e.s.Notification(id)
		n := proto.CloneOf(old)
		n.NextMs = e.s.nowMs
		if n.State == wire.SnapshotNotification_DEAD {
			n.State, n.Tries = wire.SnapshotNotification_PENDING, 0
		}
		e.putNotification(n)
	}
	return &wire.Answer{Instances: uint64(len(ids)), Notifications: ids}, nil
}

// untell forgets what was told of a plan that is forgotten.
func (e *Edit) untell(planID uint64) {
	e.s.outbox.told, _ = e.s.outbox.told.DeletePrefix(key1(planID))
}

func clipTo(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// notifications writes channels, the outbox, and the keys that outlived their
// notifications: records without an id.
func (enc *encoder) notifications(s *State) {
	s.Channels(func(c *wire.Channel) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Channel{Channel: c}})
	})
	record := func(n *wire.SnapshotNotification) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Notification{Notification: n}})
	}
	written := map[string]bool{}
	s.outbox.all.Root().Walk(func(_ []byte, n *wire.SnapshotNotification) bool {
		record(n)
		written[string(toldKey(n.Notification))] = true
		return enc.err != nil
	})
	s.outbox.told.Root().Walk(func(k []byte, _ struct{}) bool {
		if !written[string(k)] {
			record(&wire.SnapshotNotification{Notification: &wire.Notification{Plan: binary.BigEndian.Uint64(k), Key: string(k[8:])}})
		}
		return enc.err != nil
	})
}

// restoreNotification takes in what notifications wrote. The plans are there
// already: what was told of one that is not is forgotten with it.
func (d *decoder) restoreNotification(n *wire.SnapshotNotification) error {
	s := d.state
	if n.GetNotification() == nil || n.Id >= s.outbox.next {
		return corrupt("notification %d is not complete", n.GetId())
	}
	if _, ok := s.Plan(n.Notification.Plan); ok {
		s.outbox.told, _, _ = s.outbox.told.Insert(toldKey(n.Notification), struct{}{})
	}
	if n.Id > 0 {
		s.outbox.put(n)
	}
	return nil
}

// SettledMs is when the last attempt of an instance was recorded as ended (unix
// milliseconds); 0 without one.
func (p *Plan) SettledMs(instance uint64) int64 { return p.tally(instance).settledMs }

// LastOperation is the number of the newest line of the plan's log; 0: it is
// empty.
func (p *Plan) LastOperation() uint64 { return uint64(p.log.Len()) }
