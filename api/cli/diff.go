package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"backfleet/api/cli/requestfile"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) backfillSchema() *cobra.Command {
	return a.printed("schema", "Print the JSON Schema of a request file, for editors", requestfile.Schema)
}

func (a *app) backfillExample() *cobra.Command {
	return a.printed("example", "Print a request file with every field, explained", func() ([]byte, error) { return requestfile.Example, nil })
}

// printed is a command that prints the same always.
func (a *app) printed(name, short string, text func() ([]byte, error)) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  backfleet backfill " + name, Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			b, err := text()
			if err == nil {
				_, err = a.Out.Write(b)
			}
			return err
		},
	}
}

func (a *app) backfillExport() *cobra.Command {
	c := &cobra.Command{
		Use: "export BACKFILL", Short: "Write the request of a submitted backfill as a file",
		Long: `Writes the request of a backfill, as it is after all edits, as a file that
backfill submit -f takes.`,
		Example: "  backfleet backfill export b12 > backfills/orders.yaml",
		Args:    exactly(1),
	}
	k := a.connects(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := planID(args[0]); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		b, err := cl.Backfill(c.Context(), args[0])
		if err != nil {
			return err
		}
		s := b.Summary
		if s.Kind == v1.PlanKindAuto {
			return fault.New(fault.Conflict, "%s is a day of the schedule: nobody asked for it", s.ID)
		}
		out, err := requestfile.Write(b.Request, fmt.Sprintf("%s (%s), submitted by %s at %s UTC.", s.ID, s.Name, s.CreatedBy, moment(&s.CreatedAt)))
		if err == nil {
			_, err = a.Out.Write(out)
		}
		return err
	}
	return c
}

// requestDiff is what a file would change against a submitted backfill.
type requestDiff struct {
	Backfill string          `json:"backfill"`
	Name     string          `json:"name"`
	File     string          `json:"file,omitempty"`
	Equal    bool            `json:"equal"`
	Changes  []v1.EditChange `json:"changes"`
	// Instances of the file that the backfill has not, and the other way round;
	// absent where there are too many to compare.
	Added   *int64 `json:"addedInstances,omitempty"`
	Removed *int64 `json:"removedInstances,omitempty"`
	Now     int64  `json:"instances"`
	WouldBe int64  `json:"instancesOfFile"`
	unified []byte
}

// mostCompared is how many instances are compared one by one, of both sides
// together.
const mostCompared = 200_000

type diffOptions struct {
	*app
	connection *connection
	output     *output
	request    *requestOptions
}

func (a *app) backfillDiff() *cobra.Command {
	o := &diffOptions{app: a}
	c := &cobra.Command{
		Use: "diff -f FILE [BACKFILL] [flags]", Short: "Compare a request file with a submitted backfill",
		Long: `Shows what a file asks for otherwise than a submitted backfill, field by field,
and how many instances it would have more and fewer. Without BACKFILL it is the
newest one of the name that the file gives. What means the same is the same:
absent fields and their defaults, for one. The exit status is 0 where both are
equal and 1 where they differ.`,
		Example: `  backfleet backfill diff -f backfills/orders.yaml b12
  backfleet backfill diff -f backfills/orders.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fault.New(fault.Invalid, "%d arguments were given: expected `%s`", len(args), c.UseLine())
			}
			return nil
		},
	}
	o.connection, o.output, o.request = a.connects(c), a.prints(c), a.requests(c)
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c.Context(), args) }
	return c
}

// errDifferent makes exit status 1.
var errDifferent = errors.New("they differ")

func (o *diffOptions) run(ctx context.Context, args []string) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if len(o.request.files) == 0 {
		return fault.Field("--file", "it is missing: expected the file to compare")
	}
	if len(args) > 0 {
		if err := planID(args[0]); err != nil {
			return err
		}
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	files, err := o.request.read(ctx, cl)
	switch {
	case err != nil:
		return err
	case len(files) > 1:
		return fault.Field("--file", "%d requests were read: expected one", len(files))
	}
	b, err := o.other(ctx, cl, files[0], args)
	if err != nil {
		return err
	}
	d, err := o.compare(ctx, cl, files[0], b)
	if err != nil {
		return err
	}
	if err := o.output.answer(d, []string{d.Backfill}, func(w io.Writer) { o.show(w, d) }); err != nil || d.Equal {
		return err
	}
	return fmt.Errorf("%s and %s: %w", d.File, d.Backfill, errDifferent)
}

// other is the backfill to compare with.
func (o *diffOptions) other(ctx context.Context, cl *client.Client, f *requestfile.File, args []string) (*v1.Backfill, error) {
	if len(args) > 0 {
		return cl.Backfill(ctx, args[0])
	}
	if f.Request.Name == "" {
		return nil, fault.New(fault.Invalid, "%s gives no name, by which a backfill could be found: expected the id of one as an argument", f.Name)
	}
	b, err := byName(ctx, cl, f.Request.Name)
	if err == nil && b == nil {
		return nil, fault.New(fault.NotFound, "no backfill has the name %q that %s gives: submit it, or name one to compare with", f.Request.Name, f.Name)
	}
	return b, err
}

func (o *diffOptions) compare(ctx context.Context, cl *client.Client, f *requestfile.File, b *v1.Backfill) (*requestDiff, error) {
	d := &requestDiff{Backfill: b.Summary.ID, Name: b.Summary.Name, File: f.Name, Now: b.Receipt.Generated}
	mine, theirs := f.Request, b.Request
	if mine.Name == "" {
		theirs.Name = ""
	} else if theirs.Name == "" {
		theirs.Name = b.Summary.Name
	}
	d.Changes = differences(theirs, mine)
	d.Equal = len(d.Changes) == 0
	var sides [2][]byte
	for i, r := range []v1.BackfillRequest{theirs, mine} {
		text, err := requestfile.Write(requestfile.Normal(r), "")
		if err != nil {
			return nil, err
		}
		sides[i] = text
	}
	d.unified = diff.Diff(d.Backfill, sides[0], d.File, sides[1])
	return d, o.instances(ctx, cl, f, d)
}

// instances counts what only one side has.
func (o *diffOptions) instances(ctx context.Context, cl *client.Client, f *requestfile.File, d *requestDiff) error {
	p, err := cl.Preview(ctx, f.Request, &v1.PreviewBackfillParams{Limit: 1})
	if err != nil {
		return f.Locate(err)
	}
	d.WouldBe = p.Totals.Instances
	if d.Now+d.WouldBe > mostCompared {
		return nil
	}
	type cycle struct{ node, date, at string }
	const form = "2006-01-02T15:04:05Z"
	there := map[cycle]bool{}
	_, err = all(ctx, 0, func(ctx context.Context, cursor string, limit int) ([]struct{}, string, error) {
		p, err := cl.Instances(ctx, d.Backfill, &v1.ListInstancesParams{Cursor: cursor, Limit: limit})
		if err != nil {
			return nil, "", err
		}
		for _, i := range p.Items {
			there[cycle{i.Node, i.Date, i.ScheduledTime.UTC().Format(form)}] = true
		}
		return nil, p.Next, nil
	})
	if err != nil {
		return err
	}
	var added, removed int64
	_, err = all(ctx, 0, func(ctx context.Context, cursor string, limit int) ([]struct{}, string, error) {
		p, err := cl.Preview(ctx, f.Request, &v1.PreviewBackfillParams{Cursor: cursor, Limit: limit})
		if err != nil {
			return nil, "", f.Locate(err)
		}
		for _, i := range p.Instances {
			c := cycle{i.Node, i.Date, i.ScheduledTime.UTC().Format(form)}
			if !there[c] {
				added++
			}
			delete(there, c)
		}
		return nil, p.Next, nil
	})
	if err != nil {
		return err
	}
	removed = int64(len(there))
	d.Added, d.Removed = &added, &removed
	if added+removed > 0 {
		d.Equal = false // the nodes are others by now
	}
	return nil
}

func (o *diffOptions) show(w io.Writer, d *requestDiff) {
	colours := o.colours(w)
	for line := range strings.Lines(string(d.unified)) {
		if strings.HasPrefix(line, "diff ") {
			continue
		}
		colour := map[byte]text.Colors{'+': {text.FgGreen}, '-': {text.FgRed}, '@': {text.FgCyan}}[line[0]]
		if colours && colour != nil {
			line = colour.Sprint(strings.TrimSuffix(line, "\n")) + "\n"
		}
		io.WriteString(w, line)
	}
	switch {
	case d.Added == nil:
		fmt.Fprintf(w, "%s has %s, the file would have %d: too many to compare one by one\n", d.Backfill, number(d.Now, "instance"), d.WouldBe)
	case d.Equal:
		fmt.Fprintf(w, "%s asked for the same: %s\n", d.Backfill, number(d.Now, "instance"))
	case len(d.Changes) == 0:
		fmt.Fprintf(w, "the request is the same, the nodes are not: %s more, %d fewer (%d now, %d then)\n", number(*d.Added, "instance"), *d.Removed, d.Now, d.WouldBe)
	default:
		fmt.Fprintf(w, "%s more, %d fewer (%d now, %d then)\n", number(*d.Added, "instance"), *d.Removed, d.Now, d.WouldBe)
	}
}

// differences tells the fields in which two requests mean something else.
func differences(before, after v1.BackfillRequest) []v1.EditChange {
	sides := [2]map[string]string{}
	var order []string
	for i, r := range []v1.BackfillRequest{before, after} {
		sides[i] = map[string]string{}
		for _, f := range requestfile.Fields(requestfile.Normal(r)) {
			if _, known := sides[0][f.Name]; i == 0 || !known {
				order = append(order, f.Name)
			}
			sides[i][f.Name] = f.Value
		}
	}
	out := []v1.EditChange{}
	for _, name := range order {
		if sides[0][name] != sides[1][name] {
			out = append(out, v1.EditChange{Field: name, Before: sides[0][name], After: sides[1][name]})
		}
	}
	return out
}
