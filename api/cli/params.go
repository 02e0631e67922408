package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/params"
)

func (a *app) paramsCommand() *cobra.Command {
	return group("params", "Try scheduling parameters", a.paramsRender())
}

type renderOptions struct {
	*app
	output                   *output
	data, scheduled, created string
	dialect                  string
	plan, node, instance     string
}

func (a *app) paramsRender() *cobra.Command {
	o := &renderOptions{app: a}
	c := &cobra.Command{
		Use: "render EXPR", Short: "Show what a parameter's value comes to, and why",
		Long: `Computes a value as a node with this assignment would get it. It asks no
coordinator. Put the expression into single quotes: the shell expands $ itself.`,
		Example: `  backfleet params render '${yyyymmdd-1}' --data-timestamp 2018-07-21
  backfleet params render '$[hh24-1/24]' --data-timestamp 2018-07-21 --scheduled-time "2018-07-22 00:30:00"
  backfleet params render '${yyyy-MM-dd -1}' --data-timestamp 2018-07-21 --dialect dataphin -o json`,
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error { return o.run(args[0]) },
	}
	c.Flags().StringVar(&o.data, "data-timestamp", "", "D, `yyyy-mm-dd` (required)")
	c.Flags().StringVar(&o.scheduled, "scheduled-time", "", "T, `\"yyyy-mm-dd hh:mm:ss\"`; default midnight after D")
	c.Flags().StringVar(&o.created, "generation-date", "", "the day on which the instance is generated, `yyyy-mm-dd`; default today")
	c.Flags().StringVar(&o.dialect, "dialect", string(params.DataWorks), "`dialect`: dataworks or dataphin")
	c.Flags().StringVar(&o.plan, "backfill", "b1", "`id` that $jobid stands for")
	c.Flags().StringVar(&o.node, "node", "node", "`id` that $nodeid stands for")
	c.Flags().StringVar(&o.instance, "instance", "b1.1", "`id` that $taskid stands for")
	o.output = a.prints(c)
	return c
}

// rendering is the answer.
type rendering struct {
	Value string      `json:"value"`
	Steps []piecewise `json:"steps"`
}

// piecewise explains one piece of the value.
type piecewise struct {
	Text    string   `json:"text"`
	Rule    string   `json:"rule"`
	Moments []string `json:"moments,omitempty"`
	Value   string   `json:"value"`
}

func (o *renderOptions) run(source string) error {
	moment, err := o.context()
	if err != nil {
		return err
	}
	e, err := params.Parse(params.Dialect(o.dialect), source)
	if err != nil {
		return err
	}
	value, err := e.Render(moment)
	if err != nil {
		return err
	}
	r := rendering{Value: value, Steps: []piecewise{}}
	for _, s := range e.Explain(moment) {
		p := piecewise{Text: s.Text, Rule: s.Rule, Value: s.Value}
		for _, m := range s.Moments {
			p.Moments = append(p.Moments, m.What+" "+m.Wall.String())
		}
		r.Steps = append(r.Steps, p)
	}
	return o.output.answer(r, []string{value}, func(w io.Writer) {
		fmt.Fprintln(w, r.Value)
		for _, s := range r.Steps {
			fmt.Fprintf(w, "  %s: %s\n", s.Text, s.Rule)
			if len(s.Moments) > 0 {
				fmt.Fprintf(w, "    %s\n", strings.Join(s.Moments, " → "))
			}
			fmt.Fprintf(w, "    = %s\n", s.Value)
		}
	})
}

// context reads the moments that the flags give.
func (o *renderOptions) context() (params.Context, error) {
	c := params.Context{PlanID: o.plan, NodeID: o.node, InstanceID: o.instance}
	if o.data == "" {
		return c, fault.Field("--data-timestamp", "it is missing: expected the D to render for, yyyy-mm-dd")
	}
	var err error
	if c.Data, err = calendar.ParseDate(o.data); err != nil {
		return c, fault.Field("--data-timestamp", "%s", err.Error())
	}
	c.Scheduled = calendar.Wall{Date: c.Data + 1}
	if o.scheduled != "" {
		if c.Scheduled, err = calendar.ParseWall(o.scheduled); err != nil {
			return c, fault.Field("--scheduled-time", "%s", err.Error())
		}
	}
	y, m, d := o.Now().Date()
	c.Generated = calendar.DateOf(y, m, d)
	if o.created != "" {
		if c.Generated, err = calendar.ParseDate(o.created); err != nil {
			return c, fault.Field("--generation-date", "%s", err.Error())
		}
	}
	return c, nil
}
