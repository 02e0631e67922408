package client

import (
	"context"

	v1 "backfleet/api/v1"
)

// Channels lists channels of notifications by name.
func (c *Client) Channels(ctx context.Context, p *v1.ListChannelsParams) (*v1.ChannelPage, error) {
	return read[v1.ChannelPage](c.api.ListChannels(ctx, p))
}

// Channel is one channel.
func (c *Client) Channel(ctx context.Context, name string) (*v1.Channel, error) {
	return read[v1.Channel](c.api.GetChannel(ctx, name, nil))
}

// PutChannel adds or replaces a channel.
func (c *Client) PutChannel(ctx context.Context, name string, s v1.ChannelSettings, why string) (*v1.Channel, error) {
	return read[v1.Channel](c.api.PutChannel(ctx, name, &v1.PutChannelParams{Why: why}, s))
}

// RemoveChannel removes a channel. What is pending there is dead.
func (c *Client) RemoveChannel(ctx context.Context, name, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RemoveChannel(ctx, name, &v1.RemoveChannelParams{Why: why}))
}

// TestChannel sends a notification and tells what became of it within 15
// seconds.
func (c *Client) TestChannel(ctx context.Context, name, why string) (*v1.Notification, error) {
	return read[v1.Notification](c.api.TestChannel(ctx, name, &v1.TestChannelParams{Why: why}))
}

// Notifications lists notifications, newest first.
func (c *Client) Notifications(ctx context.Context, p *v1.ListNotificationsParams) (*v1.NotificationPage, error) {
	return read[v1.NotificationPage](c.api.ListNotifications(ctx, p))
}

// Notification is one notification.
func (c *Client) Notification(ctx context.Context, id v1.NotificationID) (*v1.Notification, error) {
	return read[v1.Notification](c.api.GetNotification(ctx, id, nil))
}

// RetryNotification has a notification tried again at once.
func (c *Client) RetryNotification(ctx context.Context, id v1.NotificationID, why string) (*v1.Notification, error) {
	return read[v1.Notification](c.api.RetryNotification(ctx, id, &v1.RetryNotificationParams{Why: why}))
}

// RetryNotifications has all dead notifications of a channel tried again.
func (c *Client) RetryNotifications(ctx context.Context, channel, why string) (*v1.NotificationsRetried, error) {
	return read[v1.NotificationsRetried](c.api.RetryNotifications(ctx, nil, v1.NotificationsRetry{Channel: channel, Why: why}))
}
