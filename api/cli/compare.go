package cli

import (
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// comparison is what two attempts reported, side by side.
type comparison struct {
	First   compared       `json:"first"`
	Second  compared       `json:"second"`
	Metrics []metricChange `json:"metrics"`
}

// compared is an attempt and its instance.
type compared struct {
	Instance string     `json:"instance"`
	Node     string     `json:"node"`
	Date     string     `json:"date"`
	Attempt  v1.Attempt `json:"attempt"`
}

func (c compared) title() string { return fmt.Sprintf("%s, attempt %d", c.Instance, c.Attempt.Number) }

// metricChange is one metric of both. What an attempt did not report is absent.
type metricChange struct {
	Name   string  `json:"name"`
	First  *string `json:"first,omitempty"`
	Second *string `json:"second,omitempty"`
	Same   bool    `json:"same"`
	// Of two numbers: the second less the first, and that as a part of the first,
	// absent where that is 0.
	Difference string   `json:"difference,omitempty"`
	Relative   *float64 `json:"relative,omitempty"`
}

func (a *app) instanceCompare() *cobra.Command {
	c := &cobra.Command{
		Use: "compare INSTANCE [INSTANCE]", Short: "Compare what two attempts reported",
		Long: `Compares the metrics of two attempts: of one instance its last two that have ended,
of two instances the last of each. The same partition written again in another
backfill is another instance.`,
		Example: `  backfleet instance compare b12.345
  backfleet instance compare b12.345 --attempts 1,3
  backfleet instance compare b12.345 b17.2 -o json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return fault.New(fault.Invalid, "%d arguments were given: expected `%s`", len(args), c.UseLine())
		},
	}
	var attempts []int
	k, out := a.connects(c), a.prints(c)
	c.Flags().IntSliceVar(&attempts, "attempts", nil, "which two, by `number`, as 1,3; of two instances one of each")
	c.RunE = func(c *cobra.Command, args []string) error {
		if n := len(attempts); n != 0 && n != 2 {
			return fault.Field("--attempts", "%d are given: expected two, as 1,3", n)
		}
		for _, id := range args {
			if err := instanceID(id); err != nil {
				return err
			}
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		var details []*v1.InstanceDetail
		for _, id := range args {
			d, err := cl.Instance(c.Context(), id)
			if err != nil {
				return err
			}
			details = append(details, d)
		}
		both, err := compareAttempts(details, attempts)
		if err != nil {
			return err
		}
		return out.answer(both, []string{both.First.Instance, both.Second.Instance}, func(w io.Writer) { a.showComparison(w, both) })
	}
	return c
}

// compareAttempts chooses two attempts and puts what they reported side by side.
func compareAttempts(details []*v1.InstanceDetail, numbers []int) (*comparison, error) {
	first, second := details[0], details[len(details)-1]
	back := [2]int{0, 0} // from the last that has ended
	if first == second {
		back[0] = 1
	}
	var out [2]compared
	for i, d := range []*v1.InstanceDetail{first, second} {
		var t *v1.Attempt
		var err error
		if len(numbers) > 0 {
			t, err = attemptOf(d, numbers[i])
		} else {
			t, err = lastAttempt(d, back[i])
		}
		if err != nil {
			return nil, err
		}
		out[i] = compared{Instance: d.Instance.ID, Node: d.Instance.Node, Date: d.Instance.Date, Attempt: *t}
	}
	return &comparison{First: out[0], Second: out[1], Metrics: compareMetrics(out[0].Attempt.Metrics, out[1].Attempt.Metrics)}, nil
}

// goesOn says whether an attempt has not ended.
func goesOn(t v1.Attempt) bool {
	return t.State == v1.AttemptStateRunning || t.State == v1.AttemptStateQueued
}

func attemptOf(d *v1.InstanceDetail, number int) (*v1.Attempt, error) {
	for i, t := range d.Attempts {
		switch {
		case t.Number != number:
		case goesOn(t):
			return nil, fault.New(fault.Conflict, "attempt %d of %s has not ended: what it reports is known at its end", number, d.Instance.ID)
		default:
			return &d.Attempts[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no attempt %d of %s: it has %d", number, d.Instance.ID, len(d.Attempts))
}

// lastAttempt finds the last attempt that has ended, or one further back.
func lastAttempt(d *v1.InstanceDetail, back int) (*v1.Attempt, error) {
	ended := 0
	for i := len(d.Attempts) - 1; i >= 0; i-- {
		if goesOn(d.Attempts[i]) {
			continue
		}
		if ended == back {
			return &d.Attempts[i], nil
		}
		ended++
	}
	return nil, fault.New(fault.Conflict, "%s has %s that ended: expected two attempts of it, or an instance of another backfill to compare it with",
		d.Instance.ID, number(ended, "attempt"))
}

// compareMetrics goes through the metrics of both, in the first one's order.
func compareMetrics(first, second []v1.Assignment) []metricChange {
	out := []metricChange{}
	value := func(list []v1.Assignment, name string) *string {
		for i := range list {
			if list[i].Name == name {
				return &list[i].Value
			}
		}
		return nil
	}
	for _, m := range first {
		out = append(out, changeOf(m.Name, &m.Value, value(second, m.Name)))
	}
	for _, m := range second {
		if value(first, m.Name) == nil {
			out = append(out, changeOf(m.Name, nil, &m.Value))
		}
	}
	return out
}

func changeOf(name string, first, second *string) metricChange {
	out := metricChange{Name: name, First: first, Second: second}
	if first == nil || second == nil {
		return out
	}
	out.Same = *first == *second
	x, y := decimal(*first), decimal(*second)
	if x == nil || y == nil {
		return out
	}
	less := new(big.Rat).Sub(y, x)
	out.Same = less.Sign() == 0
	digits, _ := less.FloatPrec() // exact: both are decimal
	out.Difference = less.FloatString(digits)
	if x.Sign() != 0 {
		part, _ := new(big.Rat).Quo(less, new(big.Rat).Abs(x)).Float64()
		out.Relative = &part
	}
	return out
}

// decimalForm bounds what is taken for a number: its exact value may have as many
// digits as its exponent says.
var decimalForm = regexp.MustCompile(`^[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)

func decimal(text string) *big.Rat {
	if !decimalForm.MatchString(text) {
		return nil
	}
	n, _ := new(big.Rat).SetString(text)
	return n
}

func (a *app) showComparison(w io.Writer, c *comparison) {
	for _, one := range []compared{c.First, c.Second} {
		t := one.Attempt
		fmt.Fprintf(w, "%s: %s of %s, %s, took %s, code %d\n", one.title(), one.Node, one.Date, t.State, orDash(took(t.StartedAt, t.EndedAt)), t.CodeVersion)
	}
	if len(c.Metrics) == 0 {
		fmt.Fprintln(w, "Neither reported a metric.")
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, m := range c.Metrics {
		row := []string{m.Name, "", "", m.Difference, ""}
		for i, v := range []*string{m.First, m.Second} {
			if v != nil {
				row[1+i] = *v
			}
		}
		switch {
		case m.Same:
			row[3] = "same"
		case m.First == nil:
			row[3] = "new"
		case m.Second == nil:
			row[3] = "missing"
		case m.Difference == "":
			row[3] = "differs"
		case m.Difference[0] != '-':
			row[3] = "+" + m.Difference
		}
		if m.Relative != nil && !m.Same {
			row[4] = relativeText(*m.Relative)
		}
		rows = append(rows, row)
	}
	a.grid(w, []string{"METRIC", c.First.title(), c.Second.title(), "DIFFERENCE", "RELATIVE"}, rows)
}

// relativeText writes a part as percent: +5.88 %.
func relativeText(part float64) string {
	text := strconv.FormatFloat(part*100, 'f', 2, 64)
	if part > 0 {
		text = "+" + text
	}
	return text + " %"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// metricsText writes metrics in one line.
func metricsText(list []v1.Assignment) string {
	text := ""
	for i, m := range list {
		if i > 0 {
			text += ", "
		}
		text += m.Name + "=" + m.Value
	}
	return text
}
