package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/dbt"
	"backfleet/pkg/fault"
)

func (a *app) nodeImport() *cobra.Command {
	return group("import", "Make nodes of another system's project", a.nodeImportDBT())
}

type importOptions struct {
	*app
	nodes      dbt.Options
	connection *connection
	manifest   string
	out        string
	apply      bool
	dryRun     bool
}

func (a *app) nodeImportDBT() *cobra.Command {
	o := &importOptions{app: a}
	c := &cobra.Command{
		Use: "dbt MANIFEST [-o DIR | --apply] [flags]", Short: "Make nodes of a dbt project",
		Long: `Reads what dbt has read of a project (target/manifest.json, versions 9 to 12; - is
the standard input) and makes a node of each model, seed and snapshot, with the
same dependencies. What has no node is passed through: if orders reads an
ephemeral model that reads payments, the node of orders has payments upstream.
All is checked before anything is written; -o writes node files for ` + "`node apply`" + `,
--apply does the same at once, and without either only the summary is told.

A node's id is dbt's unique id (model.shop.orders), its workspace the package,
its owner meta.owner or the group's. Tags follow the name as #nightly, where
--contains and --filter name=#nightly find them.

The nodes run the command that --command is a template for (Go's text/template)
of .Kind (model), .Verb (run), .Name (orders), .Package (shop), .Select (what
--select of dbt takes for this alone) and .ProjectDir. Each node has a parameter
ds, the data timestamp as 2024-01-31; other dates are expressions such as
${yyyymmdd-1}. The default is

  ` + dbt.DefaultCommand + `

With --kinds test, the tests of a model are a node after it, and what reads the
model waits for them. With --kinds source, the sources that models read are
virtual nodes.`,
		Example: `  backfleet node import dbt target/manifest.json -o nodes/ --project-dir /srv/dbt --environment DBT_PROFILES_DIR=/srv/dbt --daily 02:00
  backfleet node import dbt target/manifest.json --project-dir /srv/dbt --apply --dry-run
  backfleet node import dbt target/manifest.json --select tag:nightly --select path:models/marts,package:shop
  backfleet node import dbt target/manifest.json --kinds model,test,source --through view --apply
  backfleet node import dbt target/manifest.json --apply --command 'exec dbt {{.Verb}} -s {{.Select}} --event-time-start ${ds} --event-time-end ${yyyy-mm-dd+1}'`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.manifest = args[0]
			return o.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write node files into this `folder`; files of an earlier import that are no more are removed from it")
	f.BoolVar(&o.apply, "apply", false, "add and change the cluster's nodes; none is removed")
	f.BoolVar(&o.dryRun, "dry-run", false, "with --apply: check and tell; change nothing")
	f.StringSliceVar(&o.nodes.Kinds, "kinds", dbt.DefaultKinds, "of what nodes are made: model, seed, snapshot, test, source")
	f.StringArrayVar(&o.nodes.Select, "select", nil, "only `what` agrees: tag:NAME, path:FOLDER, package:NAME or names, with *; a comma means both (repeatable: any)")
	f.StringSliceVar(&o.nodes.Through, "through", nil, "models of these `materializations` get no node either, as ephemeral ones")
	f.StringVar(&o.nodes.Command, "command", "", "`template` of the nodes' code (default as above)")
	f.StringVar(&o.nodes.ProjectDir, "project-dir", "", "`folder` of the project on the agents")
	f.StringArrayVar(&o.nodes.Environment, "environment", nil, "`NAME=VALUE` for dbt there, such as DBT_PROFILES_DIR=/srv/dbt (repeatable)")
	f.StringVar(&o.nodes.Workspace, "workspace", "", "of all nodes (default: the dbt package)")
	f.StringVar(&o.nodes.ResourceGroup, "resource-group", "", "of all nodes (default \"default\")")
	f.StringVar(&o.nodes.Baseline, "baseline", "", "of all nodes; needs --priority")
	f.Int32Var(&o.nodes.Priority, "priority", 0, "of the baseline: 1, 3, 5, 7 or 8")
	f.Int32Var(&o.nodes.Retries, "retries", 0, "of all nodes")
	f.StringVar(&o.nodes.Daily, "daily", "", "when the nodes are due, `HH:MM` (default 00:00)")
	f.BoolVar(&o.nodes.Auto, "auto", false, "the schedule runs the nodes by itself, not only backfills")
	f.BoolVar(&o.nodes.DependsOnSelf, "depends-on-self", false, "incremental models and snapshots wait for their own previous cycle")
	o.connection = a.connects(c)
	return c
}

func (o *importOptions) run(ctx context.Context) error {
	if o.dryRun && !o.apply {
		return fault.Field("--dry-run", "it says how to apply: expected it with --apply; without -o and --apply nothing is written anyway")
	}
	manifest, err := o.read()
	if err != nil {
		return err
	}
	made, err := manifest.Nodes(o.nodes)
	if err != nil {
		return byFlag(err)
	}
	o.told(made)
	var folder *importFolder
	if o.out != "" {
		if folder, err = o.folder(manifest, made); err != nil {
			return err
		}
	}
	if o.apply {
		if err := o.applyNodes(ctx, made); err != nil {
			return err
		}
	}
	if folder != nil {
		if err := folder.write(); err != nil {
			return err
		}
	}
	o.summary(manifest, made, folder)
	return nil
}

func (o *importOptions) read() (*dbt.Manifest, error) {
	if o.manifest == "-" {
		return dbt.Read(o.In)
	}
	f, err := os.Open(o.manifest)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the manifest %s cannot be read (%v): expected the target/manifest.json of a dbt project; `dbt parse` writes it", o.manifest, errors.Unwrap(err))
	}
	defer f.Close()
	return dbt.Read(bufio.NewReaderSize(f, 1<<16))
}

// byFlag names the flag instead of the option.
func byFlag(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Field == "" {
		return err
	}
	named := *e
	named.Field = "--" + e.Field
	return &named
}

// told tells the warnings, up to a number.
func (o *importOptions) told(made *dbt.Import) {
	const most = 50
	for _, w := range made.Warnings[:min(most, len(made.Warnings))] {
		o.warn([]v1.Warning{{Message: w.Message, Field: w.Field, Where: w.Where}})
	}
	if more := len(made.Warnings) - most; more > 0 {
		fmt.Fprintf(o.Err, "and %s more\n", number(more, "warning"))
	}
}

func (o *importOptions) applyNodes(ctx context.Context, made *dbt.Import) error {
	application := v1.NodeApplication{DryRun: o.dryRun}
	for _, n := range made.Nodes {
		application.Nodes = append(application.Nodes, convert.Node(n.Spec))
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	result, err := cl.ApplyNodes(ctx, application)
	if err != nil {
		return err
	}
	(&nodeApplyOptions{app: o.app}).show(o.Out, result)
	return nil
}

func (o *importOptions) summary(m *dbt.Manifest, made *dbt.Import, folder *importFolder) {
	fmt.Fprintf(o.Out, "dbt project %s, by dbt %s (manifest v%d)\n", m.Project, m.DBT, m.Schema)
	var rows [][]string
	for _, c := range made.Counts {
		var left []string
		for _, l := range c.Left {
			left = append(left, count(l.Count)+" "+l.Why)
		}
		rows = append(rows, []string{c.Kind, count(c.Found), count(c.Taken), count(c.Nodes), strings.Join(left, ", ")})
	}
	o.grid(o.Out, []string{"KIND", "FOUND", "TAKEN", "NODES", "LEFT OUT"}, rows)
	fmt.Fprintf(o.Out, "%s, %s\n", number(len(made.Nodes), "node"), number(made.Edges, "edge"))
	switch {
	case folder != nil:
		fmt.Fprintf(o.Out, "%s: %s written, %d unchanged, %d removed\n", o.out, number(len(folder.changed), "file"), folder.unchanged, len(folder.stale))
	case !o.apply:
		fmt.Fprintln(o.Out, "nothing was written: -o DIR writes node files, --apply applies the nodes")
	}
}

// importFolder is what is to happen in the folder of node files.
type importFolder struct {
	path      string
	files     map[string][]byte
	changed   []string // of the files, sorted
	unchanged int
	stale     []string // files of an earlier import, less those that are written again
}

// folder looks at what is there; a file that no import has written is left
// alone, and stands in the way if its name is needed.
func (o *importOptions) folder(m *dbt.Manifest, made *dbt.Import) (*importFolder, error) {
	files, err := m.Files(made.Nodes)
	if err != nil {
		return nil, err
	}
	f := &importFolder{path: o.out, files: files}
	mark := []byte(m.Mark())
	for _, name := range slices.Sorted(maps.Keys(files)) {
		there, err := os.ReadFile(filepath.Join(o.out, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			f.changed = append(f.changed, name)
		case err != nil:
			return nil, fault.Wrap(err, fault.Invalid, "the folder cannot be written to")
		case !bytes.HasPrefix(there, mark):
			return nil, fault.Field("--out", "%s is there and not of an import of this project: move it, or choose another folder", filepath.Join(o.out, name))
		case bytes.Equal(there, files[name]):
			f.unchanged++
		default:
			f.changed = append(f.changed, name)
		}
	}
	err = filepath.WalkDir(o.out, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == o.out:
			return nil
		case err != nil:
			return err
		case !entry.Type().IsRegular() || filepath.Ext(path) != ".yaml":
			return nil
		}
		name, err := filepath.Rel(o.out, path)
		if err != nil || files[filepath.ToSlash(name)] != nil {
			return err
		}
		ours, err := begins(path, mark)
		if ours {
			f.stale = append(f.stale, path)
		}
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the folder %s cannot be read", o.out)
	}
	return f, nil
}

func begins(path string, mark []byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	first := make([]byte, len(mark))
	if _, err = io.ReadFull(f, first); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it is shorter
	}
	return bytes.Equal(first, mark), err
}

func (f *importFolder) write() error {
	for _, name := range f.changed {
		path := filepath.Join(f.path, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, f.files[name], 0o644)
		}
		if err != nil {
			return fault.Wrap(err, fault.Internal, "the node files were written in part: mend this and import again")
		}
	}
	for _, path := range f.stale {
		if err := os.Remove(path); err != nil {
			return fault.Wrap(err, fault.Internal, "files of an earlier import could not all be removed: mend this and import again")
		}
	}
	return nil
}
