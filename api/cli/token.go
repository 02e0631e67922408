package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) tokenCommand() *cobra.Command {
	c := group("token", "Let agents in: make, list and revoke join tokens", a.tokenCreate(), a.tokenList(), a.tokenRevoke())
	c.Long = `A join token (bfj_…) lets agents in, and nobody else. Tokens by which people and
programs ask the cluster are access tokens (bft_…): see backfleet token.`
	return c
}

func (a *app) tokenCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create [flags]", Short: "Make a token that lets agents in",
		Long: `Makes a join token and prints it, with the line that starts an agent with it. It is
told this once: the cluster keeps a hash of it. Agents go on showing it; once it
has expired, or was revoked, all that it let in are shut out.

With -o name only the token is printed, for a file.`,
		Example: `  backfleet agent token create --group default --description 'rack 7'
  backfleet agent token create --group etl --expires 30d --description 'borrowed until May' -o name > token`,
		Args: exactly(0),
	}
	var r v1.JoinTokenRequest
	var expires string
	k, out := a.connects(c), a.prints(c)
	c.Flags().StringArrayVar(&r.Groups, "group", nil, "its agents may join this resource `group` only (repeatable; default all)")
	c.Flags().StringVar(&expires, "expires", "", "it expires after this `time`, as 12h or 30d; default never")
	c.Flags().StringVar(&r.Description, "description", "", "what it is `for`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if expires != "" {
			after, err := readSpan("--expires", expires)
			if err != nil {
				return err
			}
			r.ExpiresInSeconds = int64(after / time.Second)
		}
		if err := out.check(); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		made, err := cl.CreateJoinToken(c.Context(), r)
		if err != nil {
			return err
		}
		return out.answer(made, []string{made.Token}, func(w io.Writer) { showToken(c.Context(), cl, w, made) })
	}
	return c
}

func showToken(ctx context.Context, cl *client.Client, w io.Writer, made *v1.NewJoinToken) {
	t := made.JoinToken
	sheet(w, "Token", made.Token, "Id", t.ID, "Groups", groupsText(t.Groups), "Expires", expiryText(t), "Description", t.Description)
	coordinators := "HOST:8471"
	if cluster, err := cl.Cluster(ctx); err == nil {
		var all []string
		for _, s := range cluster.Servers {
			if s.RPCAddress != "" {
				all = append(all, s.RPCAddress)
			}
		}
		if len(all) > 0 {
			coordinators = strings.Join(all, ",")
		}
	}
	groups := ""
	for _, g := range t.Groups {
		groups += " --group " + g + "=$(nproc)"
	}
	if groups == "" {
		groups = " --group default=$(nproc)"
	}
	fmt.Fprintf(w, "\nIt is told this once. On the worker (with --tls-ca, --tls-cert and --tls-key where the cluster has TLS):\n\n"+
		"(umask 077 && echo %s > token) && backfleet agent --data backfleet-agent --coordinators %s%s --token-file token\n", made.Token, coordinators, groups)
}

func groupsText(groups []string) string {
	if len(groups) == 0 {
		return "all"
	}
	return strings.Join(groups, " ")
}

func expiryText(t v1.JoinToken) string { return untilText(t.ExpiresAt, t.Expired) }

// untilText says when a token ends, or that it has.
func untilText(at *time.Time, expired bool) string {
	switch {
	case at == nil:
		return "never"
	case expired:
		return moment(at) + " (expired)"
	}
	return moment(at)
}

func (a *app) tokenList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List join tokens, and how many agents each let in",
		Example: "  backfleet agent token list",
		Args:    exactly(0),
	}
	l := a.lists(c, true)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.JoinToken, string, error) {
			p, err := cl.JoinTokens(ctx, &v1.ListJoinTokensParams{Contains: l.contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(t v1.JoinToken) string { return t.ID }, []string{"ID", "GROUPS", "AGENTS", "EXPIRES", "CREATED", "BY", "DESCRIPTION"},
			func(_ io.Writer, t v1.JoinToken) []string {
				return []string{t.ID, groupsText(t.Groups), count(t.Agents), expiryText(t), moment(&t.CreatedAt), t.CreatedBy, t.Description}
			})
	}
	return c
}

func (a *app) tokenRevoke() *cobra.Command {
	c := &cobra.Command{
		Use: "revoke TOKEN...", Short: "Revoke join tokens, by id",
		Long: `The agents that the tokens let in are not heard any more; what runs there ends with
its leases and runs again elsewhere. Tokens are revoked one after the other, up
to the first that stands in the way. A dash takes the ids from standard input.`,
		Example: "  backfleet agent token revoke 4kq2m7xw --why 'the worker was sold'",
		Args:    some("TOKEN"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ids, err := o.ids(args, "TOKEN", func(id string) error {
			if strings.HasPrefix(id, "bfj_") {
				return fault.Field("TOKEN", "expected the id of a token, which is between its first two underscores, and not its text")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return o.remove(c.Context(), ids, "revoked", (*client.Client).RevokeJoinToken)
	}
	return c
}

// spanText writes a span as it may be given: whole days as days.
func spanText(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return number(int64(d/day), "day")
	}
	return d.String()
}

// readSpan reads a time of some length: what Go writes, or days, as 30d.
func readSpan(flag, text string) (time.Duration, error) {
	span, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		span = time.Duration(min(n, 100_000)) * 24 * time.Hour
	}
	if err != nil || span <= 0 || span%time.Second != 0 {
		return 0, fault.Field(flag, "%q: expected a time of whole seconds, as 90m, 12h or 30d", text)
	}
	return span, nil
}
