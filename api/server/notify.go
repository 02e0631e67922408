package server

import (
	"cmp"
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Notifications are channels and the outbox (RULES R15.6). Reads are answered
// from the facts at hand, writes on the leader, like Reads and Writes.
type Notifications interface {
	// Channels by name; contains is as in Nodes. One that is not there is
	// fault.NotFound.
	Channels(ctx context.Context, contains string, page Page) ([]v1.Channel, Next, error)
	Channel(ctx context.Context, name string) (*v1.Channel, error)
	// PutChannel sets all that can be set of one and gives the log index. Mistakes
	// in templates are in the error's Details, with Where.
	PutChannel(ctx context.Context, w Write, c *wire.Channel) (*v1.Channel, uint64, error)
	// RemoveChannel gives the log index.
	RemoveChannel(ctx context.Context, w Write, name string) (uint64, error)
	// TestChannel sends a notification and gives it when it was tried, or after a
	// while as it is then.
	TestChannel(ctx context.Context, w Write, name string) (*v1.Notification, uint64, error)
	// Notifications, newest first.
	Notifications(ctx context.Context, filter NotificationFilter, page Page) ([]v1.Notification, Next, error)
	Notification(ctx context.Context, id uint64) (*v1.Notification, error)
	// RetryNotification has one tried again and gives the log index;
	// fault.Conflict if it was delivered.
	RetryNotification(ctx context.Context, w Write, id uint64) (*v1.Notification, uint64, error)
	// RetryDead has all dead ones of a channel tried again, and says how many.
	RetryDead(ctx context.Context, w Write, channel string) (*v1.NotificationsRetried, error)
}

// NotificationFilter keeps what matches all that is set.
type NotificationFilter struct {
	States    []wire.SnapshotNotification_State
	Channel   string
	Plan      uint64
	Occasions []wire.Occasion
}

func (h handlers) ListChannels(c *gin.Context, p v1.ListChannelsParams) {
	named[v1.ChannelPage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.Channels)
}

func (h handlers) GetChannel(c *gin.Context, name string, _ v1.GetChannelParams) {
	result, err := h.Backend.Channel(c.Request.Context(), name)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutChannel(c *gin.Context, name string, p v1.PutChannelParams) {
	put(h, c, p.Why, name, convert.ReadChannel, h.Backend.PutChannel)
}

func (h handlers) RemoveChannel(c *gin.Context, name string, p v1.RemoveChannelParams) {
	w, err := operatorsWrite(c, p.Why, "a channel")
	h.remove(c, w, err, name, h.Backend.RemoveChannel)
}

func (h handlers) TestChannel(c *gin.Context, name string, p v1.TestChannelParams) {
	w, err := operatorsWrite(c, p.Why, "a channel")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, index, err := h.Backend.TestChannel(c.Request.Context(), w, name)
	h.written(c, index, result, err)
}

func (h handlers) ListNotifications(c *gin.Context, p v1.ListNotificationsParams) {
	pg, errPage := page(p.Cursor, p.Limit)
	states, errStates := convert.ReadNotificationStates("state", p.State)
	occasions, errOccasions := convert.ReadOccasions("occasion", p.Occasion)
	f := NotificationFilter{States: states, Channel: p.Channel, Occasions: occasions}
	var errPlan, errChannel error
	if p.Backfill != "" {
		f.Plan, errPlan = convert.ParsePlanID(p.Backfill)
	}
	if p.Channel != "" && !node.ValidChannel(p.Channel) {
		errChannel = fault.Field("channel", "%q is no name of a channel", clip(p.Channel))
	}
	if err := cmp.Or(errPage, errStates, errOccasions, errPlan, errChannel); err != nil {
		h.fail(c, err)
		return
	}
	items, next, err := h.Backend.Notifications(c.Request.Context(), f, pg)
	h.reply(c, http.StatusOK, &v1.NotificationPage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) GetNotification(c *gin.Context, text v1.NotificationID, _ v1.GetNotificationParams) {
	id, err := channel.ParseID(text)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Notification(c.Request.Context(), id)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) RetryNotification(c *gin.Context, text v1.NotificationID, p v1.RetryNotificationParams) {
	id, errID := channel.ParseID(text)
	w, err := operatorsWrite(c, p.Why, "a notification")
	if err := cmp.Or(errID, err); err != nil {
		h.fail(c, err)
		return
	}
	result, index, err := h.Backend.RetryNotification(c.Request.Context(), w, id)
	h.written(c, index, result, err)
}

func (h handlers) RetryNotifications(c *gin.Context, p v1.RetryNotificationsParams) {
	body, err := decode[v1.NotificationsRetry](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	if !node.ValidChannel(body.Channel) {
		h.fail(c, fault.Field("channel", "%q is no name of a channel: expected whose dead notifications are tried again", clip(body.Channel)))
		return
	}
	w, err := operatorsWrite(c, cmp.Or(body.Why, p.Why), "a notification")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.RetryDead(c.Request.Context(), w, body.Channel)
	if err == nil {
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusOK, result, err)
}
