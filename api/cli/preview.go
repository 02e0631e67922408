package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/cli/requestfile"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

type previewOptions struct {
	*app
	connection *connection
	output     *output
	request    *requestOptions
	instances  int
	ofNode     string
	ofDate     string
}

func (a *app) backfillPreview() *cobra.Command {
	o := &previewOptions{app: a}
	c := &cobra.Command{
		Use: "preview [-f FILE] [--node ID] [flags]", Short: "Show what a backfill would run; change nothing",
		Example: `  backfleet backfill preview --node ingest --mode descendants --dates 2012-01-01..2012-01-31 --groups 4
  backfleet backfill preview --node ingest --dates 2012-01-01..2012-12-31 --of-date 2012-02-29 --instances 0
  backfleet backfill preview -f backfills/`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	o.connection, o.output, o.request = a.connects(c), a.prints(c), a.requests(c)
	c.Flags().IntVar(&o.instances, "instances", 10, "show so many instances with their values; 0: all")
	c.Flags().StringVar(&o.ofNode, "of-node", "", "of the instances only those of this node, by `id`")
	c.Flags().StringVar(&o.ofDate, "of-date", "", "of the instances only those of this data timestamp, `yyyy-mm-dd`")
	return c
}

func (o *previewOptions) run(ctx context.Context) error {
	if err := o.output.check(); err != nil {
		return err
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	files, err := o.request.read(ctx, cl)
	if err != nil {
		return err
	}
	var previews []*v1.Preview
	for _, f := range files {
		p, err := o.preview(ctx, cl, f)
		if err != nil {
			return err
		}
		previews = append(previews, p)
	}
	if len(previews) == 1 {
		return o.output.answer(previews[0], nil, func(w io.Writer) { o.show(w, previews[0]) })
	}
	return o.output.answer(previews, nil, func(w io.Writer) {
		for i, p := range previews {
			fmt.Fprintf(w, "%s==> %s <==\n", strings.Repeat("\n", min(i, 1)), files[i].Name)
			o.show(w, p)
		}
	})
}

// preview gathers the instances that are asked for.
func (o *previewOptions) preview(ctx context.Context, cl *client.Client, f *requestfile.File) (*v1.Preview, error) {
	var first *v1.Preview
	instances, err := all(ctx, o.instances, func(ctx context.Context, cursor string, limit int) ([]v1.PreviewInstance, string, error) {
		p, err := cl.Preview(ctx, f.Request, &v1.PreviewBackfillParams{Node: o.ofNode, Date: o.ofDate, Cursor: cursor, Limit: limit})
		if err != nil {
			return nil, "", f.Locate(err)
		}
		if first == nil {
			first = p
		}
		return p.Instances, p.Next, nil
	})
	if err != nil {
		return nil, err
	}
	first.Instances, first.Next = instances, ""
	o.warn(named(f, first.Warnings))
	return first, nil
}

func (o *previewOptions) show(w io.Writer, p *v1.Preview) {
	sheet(w, "Name", p.Name, "Today", p.Today+" "+p.Zone, "Dates", count(p.Dates), "Instances", totalsText(p.Totals))
	for _, c := range p.Priorities {
		fmt.Fprintf(w, "Priority %d: %s\n", c.Priority, number(c.Instances, "instance"))
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, g := range p.Groups {
		rows = append(rows, []string{count(g.Group), count(g.Dates), g.First, g.Last, count(g.Instances)})
	}
	o.grid(w, []string{"GROUP", "DATES", "FIRST", "LAST", "INSTANCES"}, rows)
	fmt.Fprintln(w)
	rows = nil
	for _, n := range p.Nodes {
		rows = append(rows, []string{n.Node, n.Name, count(n.Level), count(n.Instances), n.ResourceGroup, string(n.DryRun)})
	}
	o.grid(w, []string{"NODE", "NAME", "LEVEL", "INSTANCES", "GROUP", "DRY RUN"}, rows)
	o.units(w, p)
	o.ahead(w, p)
	if len(p.Instances) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = nil
	for _, i := range p.Instances {
		var values []string
		for _, v := range i.Values {
			values = append(values, v.Name+"="+v.Value)
		}
		rows = append(rows, []string{i.Node, i.Date, i.ScheduledTime.Format("2006-01-02 15:04"), count(i.Group), count(i.Priority),
			string(i.DryRun), strings.Join(values, " ")})
	}
	o.grid(w, []string{"NODE", "DATE", "SCHEDULED", "GROUP", "PRIORITY", "DRY RUN", "VALUES"}, rows)
}

// units shows what of logical nodes runs, and why (RULES R12.2).
func (o *previewOptions) units(w io.Writer, p *v1.Preview) {
	var rows [][]string
	for _, n := range p.Nodes {
		for _, u := range n.Units {
			runs := "no"
			if u.Runs {
				runs = "yes"
			}
			rows = append(rows, []string{n.Node, u.Unit, runs, u.Why})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		o.grid(w, []string{"NODE", "UNIT", "RUNS", "WHY"}, rows)
	}
}

// fewLines is how much of a long list stands in a preview for people; the whole
// is in the other forms.
const fewLines = 5

// rest says how much was left out of a list of n.
func rest(w io.Writer, what string, n int) {
	if n > fewLines {
		fmt.Fprintf(w, "%s: %d more\n", what, n-fewLines)
	}
}

// ahead shows what the backfill will meet: time, room, schedule, gaps.
func (o *previewOptions) ahead(w io.Writer, p *v1.Preview) {
	if f := p.Forecast; f != nil {
		text := fmt.Sprintf("%s (%s to %s)", seconds(f.Mid), seconds(f.Low), seconds(f.High))
		if !f.Complete {
			text = "at least " + text
		}
		if f.Why != "" {
			text += "; " + f.Why
		}
		fmt.Fprintf(w, "\nForecast: %s\n", text)
	}
	for _, d := range p.Demand {
		fmt.Fprintf(w, "Demand on %s: up to %d at once, %d slots\n", d.ResourceGroup, d.Peak, d.Slots)
	}
	later := p.Totals.DueLater
	for _, d := range p.DueTimes[:min(fewLines, len(p.DueTimes))] {
		later -= d.Instances
		fmt.Fprintf(w, "Due later: %s at %s UTC\n", number(d.Instances, "instance"), moment(&d.At))
	}
	if later > 0 {
		fmt.Fprintf(w, "Due later: %s more\n", number(later, "instance"))
	}
	for _, c := range p.Conflicts[:min(fewLines, len(p.Conflicts))] {
		fmt.Fprintf(w, "Conflict ahead: the schedule runs %s of %s at %s UTC %s\n", c.Node, c.Date, moment(&c.At), c.Instance)
	}
	rest(w, "Conflict ahead", len(p.Conflicts))
	for _, m := range p.MissingUpstreams[:min(fewLines, len(p.MissingUpstreams))] {
		why := "has never run"
		if m.Failed {
			why = "last failed"
		}
		fmt.Fprintf(w, "Missing: %s of %s %s; %s needs it\n", m.Node, m.Date, why, m.NeededBy)
	}
	rest(w, "Missing", len(p.MissingUpstreams))
	if len(p.NotPermitted) > 0 {
		fmt.Fprintf(w, "Dry runs, for you may not run them: %s\n", strings.Join(p.NotPermitted, " "))
	}
}

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

func totalsText(t v1.PreviewTotals) string {
	text := number(t.Instances, "instance")
	if t.Bridges > 0 {
		text += fmt.Sprintf(", %s", number(t.Bridges, "bridge"))
	}
	if t.DryRun > 0 {
		text += fmt.Sprintf(", %s", number(t.DryRun, "dry run"))
	}
	if t.DueLater > 0 {
		text += fmt.Sprintf(", %d due later", t.DueLater)
	}
	return text
}
