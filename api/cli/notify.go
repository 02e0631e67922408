package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

var channelHeader = []string{"NAME", "KIND", "WHERE", "STATE", "PENDING", "DEAD", "DESCRIPTION"}

func channelCells(c v1.Channel) []string {
	return []string{c.Name, string(c.Kind), channelWhere(c), word("disabled", c.Disabled), count(c.Pending), count(c.Dead), c.Description}
}

// channelWhere says where a channel leads, without the parts of a URL that may be
// a secret.
func channelWhere(c v1.Channel) string {
	w := &wire.Channel{Kind: wire.Channel_WEBHOOK, Url: c.URL, To: c.To}
	if c.Kind == v1.ChannelKindEmail {
		w.Kind = wire.Channel_EMAIL
	}
	return channel.Where(w)
}

func (a *app) channelCommand() *cobra.Command {
	c := settings(a, settingText{"channel", "channel", "NAME", "ops"}, channelHeader, channelCells,
		func(ctx context.Context, cl *client.Client, contains, cursor string, limit int) ([]v1.Channel, string, error) {
			p, err := cl.Channels(ctx, &v1.ListChannelsParams{Contains: contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(ctx context.Context, cl *client.Client, name string) (*v1.Channel, error) {
			return cl.Channel(ctx, name)
		},
		func(c v1.Channel) string { return c.Name }, showChannel, a.channelApply(), a.channelTest(), a.channelRemove())
	c.Long = `Channels are where notifications go: webhooks, signed by the scheme of the Standard
Webhooks, and e-mail. Nodes and backfills say with notify which channel is told of
what: failure, success, finished, stuck. What was told, or could not be, is in
backfleet notification list.`
	return c
}

func showChannel(w io.Writer, c *v1.Channel) {
	var headers []string
	for _, h := range c.Headers {
		headers = append(headers, h.Name+": "+h.Value)
	}
	sheet(w, "Name", c.Name, "Kind", string(c.Kind), "Description", c.Description, "State", word("disabled", c.Disabled), "URL", c.URL,
		"Secret", strings.Replace(placeText(c.Secret), "the agent's", "the coordinators'", 1), "Headers", strings.Join(headers, ", "),
		"To", strings.Join(c.To, ", "), "Pending", number(c.Pending, "notification"), "Dead", number(c.Dead, "notification"),
		"Subject", c.Subject, "Body", c.Body)
}

func (a *app) channelApply() *cobra.Command {
	c := &cobra.Command{
		Use: "apply -f FILE [flags]", Short: "Add and change channels",
		Long: `Reads the channels of a file, a YAML document for each, and makes the cluster's like
them. All of it is checked first, templates too; where anything is wrong, every
mistake is told with file and line, and nothing changes. Channels that the file does
not name stay as they are.

  name: ops
  kind: webhook
  url: https://hooks.example.org/backfleet
  secret: {environment: BACKFLEET_SECRET_OPS}   # of the coordinators; signs what is sent
  headers: {Authorization: "Bearer {secret}"}   # {secret} may stand in the URL, too
  body: '{"text": {{json .Text}}}'              # a template; without it a JSON document
  ---
  name: mail
  kind: email
  to: [ops@example.org]
  subject: '{{.Type}}: {{.Backfill.Name}}'

Templates know .Type .ID .Time .Channel .Text .Node .Instance .Count, and .Backfill
with .ID .Name .State .URL and .Counts (.Total .Running .Succeeded .Failed .Frozen
.Waiting); if, with, eq, ne, lt, le, gt, ge, and, or, not, len; json, html, upper
and lower.`,
		Example: `  backfleet channel apply -f channels.yaml
  backfleet channel apply -f channels.yaml --why 'another hook'`,
		Args: exactly(0),
	}
	var path string
	o := a.acts(c)
	c.Flags().StringVarP(&path, "file", "f", "", "`file` of channels, or - for standard input (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		list, err := o.readChannels(path)
		if err != nil {
			return err
		}
		return oneByOne(o, list, func(cl *client.Client, one *wire.Channel) (*v1.Channel, error) {
			return cl.PutChannel(c.Context(), one.Name, convert.ChannelSettings(one), o.why)
		}, func(c v1.Channel) (name, text string) {
			return c.Name, fmt.Sprintf("%s is applied: %s %s", c.Name, c.Kind, channelWhere(c))
		})
	}
	return c
}

func (o *acting) readChannels(path string) ([]*wire.Channel, error) {
	if path == "" {
		return nil, fault.Field("--file", "nothing to apply: expected a file of channels")
	}
	in := o.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fault.Field("--file", "%s cannot be read: expected a file of channels", path)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, channel.MaxFile+1))
	if err != nil {
		return nil, fault.Field("--file", "%s cannot be read: expected a file of channels", path)
	}
	return channel.Read(filepath.Base(path), data)
}

func (a *app) channelTest() *cobra.Command {
	c := &cobra.Command{
		Use: "test NAME", Short: "Send a notification of the occasion test",
		Long: `Sends a notification to a channel and says what became of it. It is tried once, also
where the channel is disabled. The exit status is 1 when it did not arrive, and 7
when after 15 seconds nobody knows.`,
		Example: "  backfleet channel test ops",
		Args:    exactly(1),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := o.begin()
		if err != nil {
			return err
		}
		n, err := cl.TestChannel(c.Context(), args[0], o.why)
		if err != nil {
			return err
		}
		if err := o.output.answer(n, []string{n.ID}, func(w io.Writer) {
			if n.State == v1.NotificationStateDelivered {
				fmt.Fprintf(w, "%s was delivered to %s\n", n.ID, n.Channel)
			}
		}); err != nil {
			return err
		}
		switch n.State {
		case v1.NotificationStateDelivered:
			return nil
		case v1.NotificationStatePending:
			return fault.New(fault.Timeout, "%s is under way still: look again with backfleet notification show %s", n.ID, n.ID)
		}
		return fmt.Errorf("%s was not delivered to %s: %s", n.ID, n.Channel, n.Error)
	}
	return c
}

func (a *app) channelRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "remove NAME...", Short: "Remove channels",
		Long: `Removes channels, one after the other, up to the first that there is not. What is
pending there is dead; nodes and backfills that name one of them tell nobody. A dash
takes the names from standard input.`,
		Example: "  backfleet channel remove ops --why 'another team'",
		Args:    some("NAME"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		names, err := o.ids(args, "NAME", func(name string) error {
			if !node.ValidChannel(name) {
				return fault.Field("NAME", "%q is no name of a channel", name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return o.remove(c.Context(), names, "removed", (*client.Client).RemoveChannel)
	}
	return c
}

func (a *app) notificationCommand() *cobra.Command {
	c := group("notification", "Look at what people were told, and have it told again", a.notificationList(), a.notificationShow(), a.notificationRetry())
	c.Long = `A notification is pending until its channel has taken it. One that a channel refuses
is tried for 24 hours (a setting of the coordinators), ever more seldom; then it is
dead until somebody retries it. What was delivered is kept for 7 days, what is dead
for 30.`
	return c
}

func (a *app) notificationList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List notifications, newest first",
		Example: `  backfleet notification list --state dead
  backfleet notification list --backfill b12 --occasion failure,finished`,
		Args: exactly(0),
	}
	var p v1.ListNotificationsParams
	var states, occasions []string
	l := a.lists(c, false)
	c.Flags().StringSliceVar(&states, "state", nil, "only those in this `state`: pending, delivered or dead")
	c.Flags().StringVar(&p.Channel, "channel", "", "only those to this `channel`")
	c.Flags().StringVar(&p.Backfill, "backfill", "", "only those of the backfill with this `id`")
	c.Flags().StringSliceVar(&occasions, "occasion", nil, "only of this `occasion`: failure, success, finished, stuck or test")
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, s := range states {
			p.State = append(p.State, v1.NotificationState(s))
		}
		for _, o := range occasions {
			p.Occasion = append(p.Occasion, v1.Occasion(o))
		}
		_, errState := convert.ReadNotificationStates("--state", p.State)
		_, errOccasion := convert.ReadOccasions("--occasion", p.Occasion)
		if err := cmp.Or(errState, errOccasion); err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Notification, string, error) {
			p.Cursor, p.Limit = cursor, limit
			page, err := cl.Notifications(ctx, &p)
			if err != nil {
				return nil, "", err
			}
			return page.Items, page.Next, nil
		}, func(n v1.Notification) string { return n.ID }, []string{"ID", "STATE", "CHANNEL", "OCCASION", "BACKFILL", "AT", "TRIES", "TEXT"},
			func(_ io.Writer, n v1.Notification) []string {
				return []string{n.ID, string(n.State), n.Channel, string(n.Occasion), n.Backfill, moment(&n.At), count(n.Tries), n.Text}
			})
	}
	return c
}

func (a *app) notificationShow() *cobra.Command {
	c := &cobra.Command{Use: "show NOTIFICATION", Short: "Show a notification", Example: "  backfleet notification show n12", Args: exactly(1)}
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, err := channel.ParseID(args[0]); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		id, _, _ := strings.Cut(args[0], "-") // as receivers get it
		n, err := cl.Notification(c.Context(), id)
		if err != nil {
			return err
		}
		return out.answer(n, []string{n.ID}, func(w io.Writer) {
			sheet(w, "ID", n.ID, "State", string(n.State), "Channel", n.Channel, "Occasion", string(n.Occasion), "Text", n.Text, "Backfill", n.Backfill,
				"Node", n.Node, "Instance", n.Instance, "Raised", moment(&n.At), "Tries", count(n.Tries), "Tried", moment(n.TriedAt),
				"Next try", moment(n.NextAt), "Error", n.Error, "Receivers know it as", n.WebhookID)
		})
	}
	return c
}

func (a *app) notificationRetry() *cobra.Command {
	c := &cobra.Command{
		Use: "retry {NOTIFICATION... | --channel NAME}", Short: "Have notifications tried again at once",
		Long: `Has notifications tried again, one after the other, up to the first that stands in
the way: one that was delivered. With --channel, all dead ones of a channel. A dash
takes the ids from standard input.`,
		Example: `  backfleet notification retry n12
  backfleet notification retry --channel ops --why 'the hook is back'`,
	}
	var name string
	o := a.acts(c)
	c.Flags().StringVar(&name, "channel", "", "all dead ones of this `channel`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if (name == "") == (len(args) == 0) {
			return fault.New(fault.Invalid, "expected ids of notifications, or --channel for all dead ones of a channel")
		}
		if name != "" {
			return o.retryDead(c.Context(), name)
		}
		ids, err := o.ids(args, "NOTIFICATION", func(id string) error { _, err := channel.ParseID(id); return err })
		if err != nil {
			return err
		}
		return oneByOne(o, ids, func(cl *client.Client, id string) (*v1.Notification, error) {
			return cl.RetryNotification(c.Context(), id, o.why)
		}, func(n v1.Notification) (name, text string) { return n.ID, n.ID + " is tried again, to " + n.Channel })
	}
	return c
}

func (o *acting) retryDead(ctx context.Context, name string) error {
	cl, err := o.begin()
	if err != nil {
		return err
	}
	r, err := cl.RetryNotifications(ctx, name, o.why)
	if err != nil {
		return err
	}
	return o.output.answer(r, nil, func(w io.Writer) {
		fmt.Fprintf(w, "%s of channel %s tried again\n", number(r.Count, "notification"), name)
	})
}

// readNotify reads subscriptions as flags say them: CHANNEL or
// CHANNEL:failure,finished.
func readNotify(flag string, list []string) (out []v1.Subscription, err error) {
	for _, text := range list {
		name, on, has := strings.Cut(text, ":")
		s := v1.Subscription{Channel: name}
		if has {
			for word := range strings.SplitSeq(on, ",") {
				s.On = append(s.On, v1.Occasion(word))
			}
		}
		if !node.ValidChannel(name) {
			return nil, fault.Field(flag, "%q: expected CHANNEL or CHANNEL:failure,finished", text)
		}
		if _, err := convert.ReadOccasions(flag, s.On); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
