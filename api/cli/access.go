package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// accessCommand is about the tokens of people and programs; those of agents are
// in token.go.
func (a *app) accessCommand() *cobra.Command {
	c := group("token", "Let programs in as you: make, list and revoke access tokens",
		a.accessCreate(), a.accessList(), a.accessShow(), a.accessRevoke())
	c.Long = `An access token (bft_…) lets whoever shows it do what its user may, or less. It is for
programs, and for people where there is no login. Agents are let in by join tokens
(bfj_…) instead: see backfleet agent token.`
	return c
}

// standardExpiry of a token for which nobody says otherwise.
const standardExpiry = "90d"

func (a *app) accessCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create [flags]", Short: "Make an access token",
		Long: `Makes an access token and prints it. It is told this once: the cluster keeps a hash
of it. It may what its user may at the moment of use, and no more than its own role
and workspaces.

With -o name only the token is printed, for a file.`,
		Example: `  backfleet token create --description 'nightly reports' --role viewer
  backfleet token create --user ci --workspace shop --expires 30d -o name > token`,
		Args: exactly(0),
	}
	var r v1.TokenRequest
	var role, expires string
	k, out := a.connects(c), a.prints(c)
	c.Flags().StringVar(&r.User, "user", "", "`whose` it is; default yours, others' are for admins")
	c.Flags().StringVar(&role, "role", "", "the `most` that it may: viewer, developer, operator or admin; default what its user may")
	c.Flags().StringSliceVar(&r.Workspaces, "workspace", nil, "bind it to these workspaces, by `id`, as a developer; default its user's")
	c.Flags().StringVar(&expires, "expires", standardExpiry, "it expires after this `time`, as 12h or 30d; never: it does not")
	c.Flags().StringVar(&r.Description, "description", "", "what it is `for`")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if r.Role, err = readRole(role); err != nil {
			return err
		}
		if expires != "never" {
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
		made, err := cl.CreateToken(c.Context(), r)
		if err != nil {
			return err
		}
		return out.answer(made, []string{made.Token}, func(w io.Writer) {
			sheet(w, append([]string{"Token", made.Token}, accessPairs(made.Details)...)...)
			fmt.Fprintln(w, "\nIt is told this once. To use it: backfleet login --token -, or a file and --token-file.")
		})
	}
	return c
}

func accessPairs(t v1.AccessToken) []string {
	return []string{"Id", t.ID, "User", t.User, "Kind", string(t.Kind), "Role", roleText(t.Role), "Workspaces", boundText(t.Workspaces), "Expires", untilText(t.ExpiresAt, t.Expired),
		"Description", t.Description, "Created", moment(&t.CreatedAt) + " by " + t.CreatedBy}
}

func roleText(r v1.Role) string {
	if r == "" {
		return "its user's"
	}
	return string(r)
}

func boundText(list []string) string {
	if len(list) == 0 {
		return "its user's"
	}
	return strings.Join(list, " ")
}

func (a *app) accessList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List access tokens and sessions, yours or others'",
		Example: `  backfleet token list
  backfleet token list --all --kind session`,
		Args: exactly(0),
	}
	var user, kind string
	var all bool
	l := a.lists(c, true)
	c.Flags().StringVar(&user, "user", "", "`whose`; default yours, others' are for admins")
	c.Flags().BoolVar(&all, "all", false, "everybody's, for admins")
	c.Flags().StringVar(&kind, "kind", "", "only of this `kind`: api, or session, of a login")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case all && user != "":
			return fault.Field("--user", "--all means everybody's: expected one of both")
		case all:
			user = "*"
		case kind != "" && !v1.TokenKind(kind).Valid():
			return fault.Field("--kind", "%q is not known: expected api or session", kind)
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.AccessToken, string, error) {
			p, err := cl.Tokens(ctx, &v1.ListTokensParams{User: user, Contains: l.contains, Kind: v1.TokenKind(kind), Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(t v1.AccessToken) string { return t.ID }, []string{"TOKEN", "USER", "KIND", "ROLE", "WORKSPACES", "EXPIRES", "CREATED", "BY", "DESCRIPTION"},
			func(_ io.Writer, t v1.AccessToken) []string {
				return []string{t.ID, t.User, string(t.Kind), roleText(t.Role), boundText(t.Workspaces), untilText(t.ExpiresAt, t.Expired), moment(&t.CreatedAt), t.CreatedBy, t.Description}
			})
	}
	return c
}

func (a *app) accessShow() *cobra.Command {
	c := &cobra.Command{Use: "show TOKEN", Short: "Show an access token, by id and without its text", Example: "  backfleet token show 4kq2m7xw", Args: exactly(1)}
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := accessID(args[0]); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		t, err := cl.Token(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.answer(t, []string{t.ID}, func(w io.Writer) { sheet(w, accessPairs(*t)...) })
	}
	return c
}

// accessID refuses the text of a token, which is a secret, without repeating it.
func accessID(id string) error {
	if strings.HasPrefix(id, "bft_") || strings.HasPrefix(id, "bfj_") {
		return fault.Field("TOKEN", "expected the id of a token, which is between its first two underscores, and not its text")
	}
	return nil
}

func (a *app) accessRevoke() *cobra.Command {
	c := &cobra.Command{
		Use: "revoke TOKEN...", Short: "Revoke access tokens and sessions, by id",
		Long: `The tokens end at once. They are revoked one after the other, up to the first that
stands in the way. A dash takes the ids from standard input.`,
		Example: `  backfleet token revoke 4kq2m7xw --why 'the laptop was lost'
  backfleet token list --user dora --limit 0 -o name | backfleet token revoke -`,
		Args: some("TOKEN"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ids, err := o.ids(args, "TOKEN", accessID)
		if err != nil {
			return err
		}
		return o.remove(c.Context(), ids, "revoked", (*client.Client).RevokeToken)
	}
	return c
}
