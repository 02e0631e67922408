package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/pkg/fault"
)

func (a *app) contextCommand() *cobra.Command {
	c := group("context", "Keep clusters under names, and choose one",
		a.contextList(), a.contextUse(), a.contextShow(), a.contextSet(), a.contextRemove(), a.contextRename())
	c.Long = `A context keeps what commands need to reach one cluster: its coordinators, or the
etcd that knows them, certificates, a token, and the form of answers. They are in
$BACKFLEET_CONFIG or else $XDG_CONFIG_HOME/backfleet/config.yaml or else
~/.config/backfleet/config.yaml, which only its owner may read.

Which one is meant: --context, else BACKFLEET_CONTEXT, else the one that was
chosen with "context use". A flag goes before the environment, that before the
context, and that before the default.`
	return c
}

func (a *app) contexts() (*contextFile, error) { return readContexts(contextPath(a.Getenv)) }

// contextRow is one of a list.
type contextRow struct {
	Name    string   `json:"name"`
	Current bool     `json:"current"`
	Servers []string `json:"servers,omitempty"`
	Etcd    []string `json:"etcd,omitempty"`
	Token   string   `json:"token"` // none, file or stored
}

func (a *app) contextList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List contexts",
		Example: "  backfleet context list",
		Args:    exactly(0),
	}
	out := a.prints(c)
	c.RunE = func(*cobra.Command, []string) error {
		file, err := a.contexts()
		if err != nil {
			return err
		}
		rows := []contextRow{}
		for _, name := range file.names() {
			s := file.contexts[name]
			rows = append(rows, contextRow{Name: name, Current: name == file.current, Servers: words(s["servers"]), Etcd: words(s["etcd"]), Token: tokenKind(s)})
		}
		return out.answer(rows, file.names(), func(w io.Writer) {
			var cells [][]string
			for _, r := range rows {
				where := strings.Join(r.Servers, " ")
				if len(r.Etcd) > 0 {
					where = strings.TrimSpace("etcd " + strings.Join(r.Etcd, " ") + " " + where)
				}
				cells = append(cells, []string{r.Name, yes(r.Current), where, r.Token})
			}
			a.grid(w, []string{"NAME", "CURRENT", "COORDINATORS", "TOKEN"}, cells)
		})
	}
	return c
}

// tokenKind says whether a context has a token, and never which.
func tokenKind(s contextSettings) string {
	switch {
	case s[keyToken] != "":
		return "stored"
	case s["tokenFile"] != "":
		return "file"
	}
	return "none"
}

func (a *app) contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Choose the context that commands use from now on",
		Example: "  backfleet context use prod",
		Args:    exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.contexts()
			if err != nil {
				return err
			}
			if _, err := file.find("CONTEXT", args[0]); err != nil {
				return err
			}
			file.current = args[0]
			if err := file.write(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "%s is used from now on\n", args[0])
			return err
		},
	}
}

// contextView is what `context show` answers.
type contextView struct {
	Context  string           `json:"context"` // empty: none
	File     string           `json:"file"`
	Settings []contextSetting `json:"settings"`
}

type contextSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func (a *app) contextShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show [CONTEXT]", Short: "Show what commands use, and where each value comes from",
		Long: `Shows the settings that commands use with this environment, and where each comes
from: a flag, the environment, the context, or nowhere. The text of a token is
never shown.`,
		Example: `  backfleet context show
  backfleet context show prod -o yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1)(c, args)
			}
			return nil
		},
	}
	c.PersistentPreRunE = func(c *cobra.Command, args []string) (err error) {
		if len(args) == 1 { // as if it were chosen
			err = c.Flags().Set(flagContext, args[0])
		}
		if err == nil {
			_, err = a.settle(c)
		}
		return err
	}
	a.local = c
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		view, err := a.contextView(c, k)
		if err != nil {
			return err
		}
		return out.answer(view, []string{view.Context}, func(w io.Writer) {
			sheet(w, "Context", cmp.Or(view.Context, "none"), "File", view.File)
			fmt.Fprintln(w)
			var rows [][]string
			for _, s := range view.Settings {
				rows = append(rows, []string{s.Name, s.Value, s.From})
			}
			a.grid(w, []string{"SETTING", "VALUE", "FROM"}, rows)
		})
	}
	return c
}

func (a *app) contextView(c *cobra.Command, k *connection) (*contextView, error) {
	s, err := a.settle(c)
	if err != nil {
		return nil, err
	}
	view := &contextView{Context: s.context, File: contextPath(a.Getenv)}
	file, _ := s.token(k)
	for _, field := range contextFields {
		from := s.origins[field.key]
		value := ""
		switch f := c.Flags().Lookup(field.flag); {
		case field.key == keyToken && from.level > fromDefault:
			if value = "stored, not shown"; file != "" {
				value = "stored, not used: a token file goes before it"
			}
		case f != nil:
			value = flagText(f)
		}
		if value != "" {
			view.Settings = append(view.Settings, contextSetting{Name: field.key, Value: value, From: from.place()})
		}
	}
	return view, nil
}

func (a *app) contextSet() *cobra.Command {
	c := &cobra.Command{
		Use: "set CONTEXT [flags]", Short: "Make or change a context; what no flag names stays",
		Long: `Makes a context or changes one. The first one is used from then on. Paths are kept
whole. A token itself is read from standard input alone, where nobody sees it.`,
		Example: `  backfleet context set prod --server https://c1:8470,https://c2:8470 --ca ca.pem --token-file token
  backfleet context set prod --token - < token
  backfleet context set prod --output yaml --unset cert,key`,
		Args: exactly(1),
	}
	a.connects(c)
	hide(c.Flags(), "timeout")
	// It says what there is to settle, and needs nothing of it.
	c.PersistentPreRunE = func(*cobra.Command, []string) error { return nil }
	var form, token string
	var unset []string
	c.Flags().StringVarP(&form, flagOutput, "o", "", "`form` of answers: table, wide, json, yaml or name")
	c.Flags().StringVar(&token, keyToken, "", "`-`: keep the access token that is on standard input")
	c.Flags().StringSliceVar(&unset, "unset", nil, "take out these `settings`: "+strings.Join(contextKeys(), ", "))
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := a.contexts()
		if err != nil {
			return err
		}
		if err := a.changeContext(c, file, args[0], unset); err != nil {
			return err
		}
		how := "changed"
		if file.current == "" {
			file.current, how = args[0], "used from now on"
		}
		if err := file.write(); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%s is %s\n", args[0], how)
		return err
	}
	return c
}

// changeContext gives a context what the flags say.
func (a *app) changeContext(c *cobra.Command, file *contextFile, name string, unset []string) error {
	if !validContext(name) {
		return fault.Field("CONTEXT", "%q is no name: expected %s", name, contextNameForm)
	}
	s := file.contexts[name]
	if s == nil {
		s = contextSettings{}
		file.contexts[name] = s
	}
	changed := len(unset) > 0
	for _, key := range unset {
		if !slices.Contains(contextKeys(), key) {
			return fault.Field("--unset", "there is no setting %q: expected %s", key, strings.Join(contextKeys(), ", "))
		}
		delete(s, key)
	}
	for _, field := range contextFields {
		f := c.Flags().Lookup(cmp.Or(field.flag, field.key))
		if f == nil || !f.Changed {
			continue
		}
		value, err := a.contextValue(field, flagText(f))
		if err != nil {
			return err
		}
		changed, s[field.key] = true, value
	}
	switch {
	case !changed:
		return fault.New(fault.Invalid, "nothing to set: expected --server, --token-file or another flag (see %s --help)", c.CommandPath())
	case c.Flags().Changed(keyToken): // one goes before the other, whichever is newer
		delete(s, "tokenFile")
	case c.Flags().Changed("token-file"):
		delete(s, keyToken)
	}
	return nil
}

// contextValue checks what a flag gives for a context.
func (a *app) contextValue(field contextField, value string) (string, error) {
	switch {
	case field.key == keyToken && value != "-":
		return "", fault.Field("--token", "expected - and the token on standard input: others can see what is on a command line")
	case field.key == keyToken:
		return a.readToken()
	case field.key == "output" && !slices.Contains(outputForms, value):
		return "", fault.Field("--output", "%q is not known: expected %s", value, formList())
	case field.file && value != "":
		whole, err := filepath.Abs(value)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "the path %q cannot be resolved", value)
		}
		return whole, nil
	}
	return value, nil
}

// readToken reads a token from standard input.
func (a *app) readToken() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(a.In, 4096)).ReadString('\n')
	token := strings.TrimSpace(line)
	if err != nil && err != io.EOF {
		return "", fault.Wrap(err, fault.Invalid, "standard input cannot be read")
	}
	if !oneWord(token) {
		return "", fault.Field("--token", "standard input holds no token: expected one word")
	}
	return token, nil
}

func (a *app) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove CONTEXT...", Aliases: []string{"delete"}, Short: "Remove contexts, all or none",
		Example: "  backfleet context remove old",
		Args:    some("CONTEXT"),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.contexts()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := file.find("CONTEXT", name); err != nil {
					return err
				}
			}
			for _, name := range args {
				delete(file.contexts, name)
			}
			none := file.current != "" && file.contexts[file.current] == nil
			if none {
				file.current = ""
			}
			if err := file.write(); err != nil {
				return err
			}
			for _, name := range args {
				fmt.Fprintf(a.Out, "%s is removed\n", name)
			}
			if none {
				fmt.Fprintln(a.Err, "none is used from now on: choose one with backfleet context use")
			}
			return nil
		},
	}
}

func (a *app) contextRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename CONTEXT NAME", Short: "Give a context another name",
		Example: "  backfleet context rename prod prod-eu",
		Args:    exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.contexts()
			if err != nil {
				return err
			}
			settings, err := file.find("CONTEXT", args[0])
			switch {
			case err != nil:
				return err
			case !validContext(args[1]):
				return fault.Field("NAME", "%q is no name: expected %s", args[1], contextNameForm)
			case file.contexts[args[1]] != nil:
				return fault.New(fault.Conflict, "there is a context %q already: remove it first, or choose another name", args[1])
			}
			delete(file.contexts, args[0])
			file.contexts[args[1]] = settings
			if file.current == args[0] {
				file.current = args[1]
			}
			if err := file.write(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "%s is %s now\n", args[0], args[1])
			return err
		},
	}
}
