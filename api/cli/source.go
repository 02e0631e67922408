package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var sourceHeader = []string{"NAME", "TYPE", "WHERE", "TLS", "GROUPS", "NODES", "DESCRIPTION"}

func sourceCells(s v1.DataSource) []string {
	return []string{s.Name, s.Type, whereText(s), s.TLS, groupsText(s.ResourceGroups), count(s.Nodes), s.Description}
}

// whereText says where a database is.
func whereText(s v1.DataSource) string {
	return datasource.Where(&wire.DataSource{Type: s.Type, Host: s.Host, Port: s.Port, Database: s.Database, User: s.User})
}

func getSource(ctx context.Context, cl *client.Client, name string) (*v1.DataSource, error) {
	return cl.DataSource(ctx, name)
}

func (a *app) sourceCommand() *cobra.Command {
	return settings(a, settingText{"source", "data source", "NAME", "warehouse"}, sourceHeader, sourceCells,
		func(ctx context.Context, cl *client.Client, contains, cursor string, limit int) ([]v1.DataSource, string, error) {
			p, err := cl.DataSources(ctx, &v1.ListDataSourcesParams{Contains: contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, getSource, func(s v1.DataSource) string { return s.Name }, showSource, a.sourceApply(), a.sourceDelete())
}

func showSource(w io.Writer, s *v1.DataSource) {
	var options []string
	for _, o := range s.Options {
		options = append(options, o.Name+"="+o.Value)
	}
	port := ""
	if s.Port != 0 {
		port = count(s.Port)
	}
	sheet(w, "Name", s.Name, "Type", s.Type, "Description", s.Description, "Host", s.Host, "Port", port, "Database", s.Database, "User", s.User,
		"Password", placeText(s.Password), "TLS", s.TLS, "CA", placeText(s.Ca), "Options", strings.Join(options, ", "),
		"Resource groups", groupsText(s.ResourceGroups), "Nodes", number(s.Nodes, "node"))
}

// placeText says where an agent finds a secret.
func placeText(p *v1.SecretPlace) string {
	switch {
	case p == nil:
		return ""
	case p.File != "":
		return "the agent's file " + p.File
	}
	return "the agent's variable " + p.Environment
}

func (a *app) sourceApply() *cobra.Command {
	c := &cobra.Command{
		Use: "apply -f PATH [flags]", Short: "Add and change data sources",
		Long: `Reads the files at a path and makes the cluster's data sources like them. All of it
is checked first; where anything is wrong, every mistake is told with file and
line, and nothing changes. Data sources that no file names stay as they are.

A password never stands in a file: the file says where the agent finds it, as
{environment: BACKFLEET_SECRET_WAREHOUSE} or {file: warehouse-password}.`,
		Example: `  backfleet source apply -f sources/
  backfleet source apply -f warehouse.yaml --why 'moved to another host'`,
		Args: exactly(0),
	}
	var path string
	o := a.acts(c)
	c.Flags().StringVarP(&path, "file", "f", "", "`file` of data sources, or folder of them (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		list, err := readSources(path)
		if err != nil {
			return err
		}
		return oneByOne(o, list, func(cl *client.Client, d *wire.DataSource) (*v1.DataSource, error) {
			return cl.PutDataSource(c.Context(), d.Name, convert.DataSourceSettings(d), o.why)
		}, func(s v1.DataSource) (name, text string) { return s.Name, s.Name + " is applied: " + whereText(s) })
	}
	return c
}

func readSources(path string) ([]*wire.DataSource, error) {
	if path == "" {
		return nil, fault.Field("--file", "nothing to apply: expected a file of data sources, or a folder of them")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fault.Field("--file", "%s cannot be read: expected a file of data sources, or a folder of them", path)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the path %q cannot be resolved", path)
	}
	return datasource.Read(os.DirFS(filepath.Dir(whole)), filepath.Base(whole))
}

func (a *app) sourceDelete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete NAME...", Short: "Remove data sources that no node names",
		Long: `Removes data sources, one after the other, up to the first that stands in the way:
one that a node names stays. A dash takes the names from standard input.`,
		Example: "  backfleet source delete warehouse --why 'switched off'",
		Args:    some("NAME"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		names, err := o.ids(args, "NAME", func(name string) error {
			if !datasource.ValidName(name) {
				return fault.Field("NAME", "%q is no name of a data source", name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return o.remove(c.Context(), names, "removed", (*client.Client).RemoveDataSource)
	}
	return c
}
