package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) userCommand() *cobra.Command {
	c := group("user", "Say who may do what",
		a.userList(), a.userShow(), a.userSet(), a.userAble("disable", "Let users do nothing more, whatever they show", true),
		a.userAble("enable", "Let disabled users back in", false), a.userRemove())
	c.Long = `A user has a role, each of which may more than the one before: viewer reads; developer
also defines nodes and runs backfills, in some workspaces or all; operator steers
all that runs, and settings; admin also users, tokens of others and the cluster.
Users are made here, or by their first login at the cluster's login provider, whose
word their role then is.`
	return c
}

var userHeader = []string{"USER", "ROLE", "WORKSPACES", "STATE", "ORIGIN", "TOKENS", "LAST LOGIN", "NAME", "EMAIL"}

func userCells(u v1.User) []string {
	return []string{u.Name, string(u.Role), workspacesText(u.Role, u.Workspaces), disabledText(u), string(u.Origin), count(u.Tokens), moment(u.LastLogin), u.DisplayName, u.Email}
}

func disabledText(u v1.User) string { return word("disabled", u.Disabled) }

// workspacesText is where somebody may what a developer may.
func workspacesText(role v1.Role, list []string) string {
	if len(list) == 0 && role != v1.RoleViewer {
		return "all"
	}
	return strings.Join(list, " ")
}

// readRole reads a role; empty stays so.
func readRole(text string) (v1.Role, error) {
	if role := v1.Role(text); text == "" || slices.Contains(roles, role) {
		return role, nil
	}
	return "", fault.Field("--role", "%q is not known: expected viewer, developer, operator or admin", text)
}

func (a *app) userList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List users",
		Example: "  backfleet user list\n  backfleet user list --role operator -o name",
		Args:    exactly(0),
	}
	var role, workspace string
	l := a.lists(c, true)
	l.further = []string{"CREATED", "BY", "DESCRIPTION"}
	c.Flags().StringVar(&role, "role", "", "only those of this `role`: viewer, developer, operator or admin")
	c.Flags().StringVar(&workspace, "workspace", "", "only developers of this workspace, by `id`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		only, err := readRole(role)
		if err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.User, string, error) {
			p, err := cl.Users(ctx, &v1.ListUsersParams{Contains: l.contains, Role: only, Workspace: workspace, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(u v1.User) string { return u.Name }, userHeader, func(w io.Writer, u v1.User) []string {
			cells := userCells(u)
			cells[3] = a.word(w, cells[3])
			return append(cells, moment(&u.CreatedAt), u.CreatedBy, u.Description)
		})
	}
	return c
}

func getUser(ctx context.Context, cl *client.Client, name string) (*v1.User, error) {
	return cl.User(ctx, name)
}

func (a *app) userShow() *cobra.Command {
	c := &cobra.Command{Use: "show USER", Short: "Show a user", Example: "  backfleet user show olga"}
	return showsOne(a, c, (*client.Client).User, func(u *v1.User) string { return u.Name }, func(w io.Writer, u *v1.User) {
		sheet(w, "User", u.Name, "Name", u.DisplayName, "Email", u.Email, "Description", u.Description, "Role", string(u.Role),
			"Workspaces", workspacesText(u.Role, u.Workspaces), "State", a.word(w, disabledText(*u)), "Origin", strings.TrimSpace(string(u.Origin)+" "+u.Issuer),
			"Tokens", count(u.Tokens), "Last login", moment(u.LastLogin), "Created", moment(&u.CreatedAt)+" by "+u.CreatedBy)
	})
}

// userSettings are what is set of a user.
func userSettings(u *v1.User) v1.UserSettings {
	return v1.UserSettings{
		Description: u.Description, Disabled: u.Disabled, DisplayName: u.DisplayName, Email: u.Email, Role: u.Role, Workspaces: u.Workspaces,
	}
}

func (a *app) userSet() *cobra.Command {
	c := &cobra.Command{
		Use: "set USER [flags]", Short: "Add a user, or change one; what no flag names stays",
		Long: `Adds a user, for whom --role is needed, or changes one. They come in with a token
that is made for them (see backfleet token), or by a login.`,
		Example: `  backfleet user set dora --role developer --workspace shop --workspace ads --display-name 'Dora M.'
  backfleet user set dora --role operator --why 'on call from May on'`,
		Args: exactly(1),
	}
	var role string
	var given v1.UserSettings
	o := a.acts(c)
	c.Flags().StringVar(&role, "role", "", "`what` they may: viewer, developer, operator or admin")
	c.Flags().StringSliceVar(&given.Workspaces, "workspace", nil, "of a developer: only in these workspaces, by `id`; '' for all")
	c.Flags().StringVar(&given.DisplayName, "display-name", "", "`name` for people")
	c.Flags().StringVar(&given.Email, "email", "", "their `address`")
	c.Flags().StringVar(&given.Description, "description", "", "who they `are`, in words")
	c.RunE = func(c *cobra.Command, args []string) error {
		changed := c.Flags().Changed
		var err error
		switch given.Role, err = readRole(role); {
		case err != nil:
			return err
		case !slices.ContainsFunc([]string{"role", "workspace", "display-name", "email", "description"}, changed):
			return fault.New(fault.Invalid, "nothing to set: expected --role, --workspace, --display-name, --email or --description")
		}
		return setting(c.Context(), o, args[0], userHeader, userCells, getUser, func(cl *client.Client, now *v1.User) (*v1.User, error) {
			s := userSettings(now)
			if changed("role") {
				s.Role = given.Role
			}
			if changed("workspace") {
				s.Workspaces = slices.DeleteFunc(given.Workspaces, func(id string) bool { return id == "" })
			}
			if changed("display-name") {
				s.DisplayName = given.DisplayName
			}
			if changed("email") {
				s.Email = given.Email
			}
			if changed("description") {
				s.Description = given.Description
			}
			if s.Role == "" {
				return nil, fault.Field("--role", "there is no user %q yet: expected the role of a new one", args[0])
			}
			return cl.PutUser(c.Context(), args[0], s, o.why)
		})
	}
	return c
}

// users gathers the names of users that arguments name.
func (o *acting) users(args []string) ([]string, error) {
	return o.ids(args, "USER", func(string) error { return nil })
}

func (a *app) userAble(name, short string, disabled bool) *cobra.Command {
	c := &cobra.Command{
		Use: name + " USER...", Short: short,
		Long: short + `, one after the other, up to the first that stands in the way.
A dash takes the names from standard input.`,
		Example: "  backfleet user " + name + " dora --why 'on leave'",
		Args:    some("USER"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		users, err := o.users(args)
		if err != nil {
			return err
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		var done []*v1.User
		for _, one := range users {
			var u *v1.User
			if u, err = cl.User(c.Context(), one); err != nil {
				break
			}
			s := userSettings(u)
			s.Disabled = disabled
			if u, err = cl.PutUser(c.Context(), one, s, o.why); err != nil {
				break
			}
			done = append(done, u)
		}
		if len(done) == 0 {
			return err
		}
		failed := o.output.answer(done, users[:len(done)], func(w io.Writer) {
			for _, u := range done {
				fmt.Fprintf(w, "%s is %sd\n", u.Name, name)
			}
		})
		if err == nil {
			err = failed
		}
		return err
	}
	return c
}

func (a *app) userRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "remove USER...", Short: "Remove users and end their tokens",
		Long: `Removes users and ends their tokens, one after the other, up to the first that
stands in the way. What they did stays theirs. A user of a login provider comes
back with the next login: disable them instead. A dash takes the names from
standard input.`,
		Example: "  backfleet user remove dora --why 'has left'",
		Args:    some("USER"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		users, err := o.users(args)
		if err != nil {
			return err
		}
		return o.remove(c.Context(), users, "removed", (*client.Client).RemoveUser)
	}
	return c
}
