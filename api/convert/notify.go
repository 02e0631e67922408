package convert

import (
	"fmt"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/channel"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

var occasions = words[v1.Occasion, wire.Occasion]{
	v1.OccasionFailure: wire.Occasion_FAILURE, v1.OccasionSuccess: wire.Occasion_SUCCESS, v1.OccasionFinished: wire.Occasion_FINISHED,
	v1.OccasionStuck: wire.Occasion_STUCK, v1.OccasionTest: wire.Occasion_TEST,
}

func subscriptions(list []*wire.Subscription) []v1.Subscription {
	var out []v1.Subscription
	for _, s := range list {
		one := v1.Subscription{Channel: s.Channel}
		for _, o := range s.On {
			one.On = append(one.On, occasions.word(o))
		}
		out = append(out, one)
	}
	return out
}

func readSubscriptions(f *findings, path string, list []v1.Subscription) []*wire.Subscription {
	var out []*wire.Subscription
	for i, s := range list {
		one := &wire.Subscription{Channel: s.Channel}
		for k, o := range s.On {
			one.On = append(one.On, occasions.number(f, fmt.Sprintf("%s[%d].on[%d]", path, i, k), o))
		}
		out = append(out, one)
	}
	return out
}

var channelKinds = words[v1.ChannelKind, wire.Channel_Kind]{
	v1.ChannelKindWebhook: wire.Channel_WEBHOOK, v1.ChannelKindEmail: wire.Channel_EMAIL,
}

var notificationStates = words[v1.NotificationState, wire.SnapshotNotification_State]{
	v1.NotificationStatePending: wire.SnapshotNotification_PENDING, v1.NotificationStateDelivered: wire.SnapshotNotification_DELIVERED,
	v1.NotificationStateDead: wire.SnapshotNotification_DEAD,
}

// Channel writes a channel; what is pending and dead there is for the caller to
// add.
func Channel(c *wire.Channel) v1.Channel {
	return v1.Channel{
		Name: c.Name, Kind: channelKinds.word(c.Kind), Description: c.Description, URL: c.Url, Secret: secretPlace(c.Secret),
		Headers: Assignments(c.Headers), To: c.To, Subject: c.Subject, Body: c.Body, Disabled: c.Disabled,
	}
}

// ReadChannel reads what is said of a channel. Whether it makes sense is for
// pkg/channel.
func ReadChannel(name string, s v1.ChannelSettings) (*wire.Channel, error) {
	var f findings
	out := &wire.Channel{
		Name: name, Kind: channelKinds.number(&f, "kind", s.Kind), Description: s.Description, Url: s.URL, Secret: readSecretPlace(s.Secret),
		Headers: readAssignments(s.Headers), To: s.To, Subject: s.Subject, Body: s.Body, Disabled: s.Disabled,
	}
	if err := f.err("the channel"); err != nil {
		return nil, err
	}
	return out, nil
}

// ChannelSettings writes what can be set of a channel.
func ChannelSettings(c *wire.Channel) v1.ChannelSettings {
	all := Channel(c)
	return v1.ChannelSettings{
		Kind: all.Kind, Description: all.Description, URL: all.URL, Secret: all.Secret, Headers: all.Headers, To: all.To, Subject: all.Subject,
		Body: all.Body, Disabled: all.Disabled,
	}
}

// Notification writes a notification and what became of it.
func Notification(n *wire.SnapshotNotification) v1.Notification {
	m := n.GetNotification()
	out := v1.Notification{
		ID: channel.FormatID(n.Id), WebhookID: channel.WebhookID(n), State: notificationStates.word(n.State), Channel: m.Channel,
		Occasion: occasions.word(m.Occasion), Node: m.Node, Count: int64(m.Count), At: time.UnixMilli(m.AtMs).UTC(), Text: m.Text,
		Tries: int(n.Tries), Error: n.Error,
	}
	if m.Plan > 0 {
		out.Backfill = plan.FormatID(m.Plan)
	}
	if m.WithInstance {
		out.Instance = plan.FormatInstance(m.Plan, m.Instance)
	}
	if n.TriedMs > 0 {
		at := time.UnixMilli(n.TriedMs).UTC()
		out.TriedAt = &at
	}
	if n.State == wire.SnapshotNotification_PENDING {
		at := time.UnixMilli(n.NextMs).UTC()
		out.NextAt = &at
	}
	return out
}

// ReadOccasions reads words of occasions; field is theirs.
func ReadOccasions(field string, list []v1.Occasion) ([]wire.Occasion, error) {
	return readWords(field, list, occasions)
}

// ReadNotificationStates reads words of states; field is theirs.
func ReadNotificationStates(field string, list []v1.NotificationState) ([]wire.SnapshotNotification_State, error) {
	return readWords(field, list, notificationStates)
}

func readWords[A ~string, W ~int32](field string, list []A, known words[A, W]) (out []W, err error) {
	var f findings
	for _, word := range list {
		out = append(out, known.number(&f, field, word))
	}
	return out, f.err("the request")
}
