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

func (a *app) auditCommand() *cobra.Command {
	c := group("audit", "Read who did what, and what they were not let do", a.auditList(), a.auditExport())
	c.Long = `Everything that people write leaves a record: who, when, from where, with which token,
what it was before and after, why, and whether it was let through. It is for
operators. The newest 100,000 records are kept, or 64 MiB of them: export what you
need for longer.`
	return c
}

// auditFilter are the flags that choose records.
type auditFilter struct {
	params   v1.ListAuditParams
	from, to string
}

func (o *auditFilter) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.params.Actor, "actor", "", "only what this `user` did")
	f.StringVar(&o.params.Via, "via", "", "only with this token: its `id`, file:NAME or open")
	f.StringVar(&o.params.Operation, "operation", "", "only this operation, by its `name` in the API, as putUser")
	f.StringVar(&o.params.Target, "target", "", "only where the target contains this `text`, as backfill/b12")
	f.StringVar(&o.params.Code, "code", "", "only what was refused with this `code`, as denied; ok: only what was done")
	f.StringVar(&o.from, "from", "", "from this `moment` on: 2026-01-31, 2026-01-31T22:00:00Z, or how long ago, as 36h or 7d")
	f.StringVar(&o.to, "to", "", "before this `moment`")
}

// build reads the moments.
func (o *auditFilter) build(now time.Time) (*v1.ListAuditParams, error) {
	for _, one := range []struct {
		flag, text string
		to         **time.Time
	}{{"--from", o.from, &o.params.AtFrom}, {"--to", o.to, &o.params.AtTo}} {
		if one.text == "" {
			continue
		}
		at, err := readMoment(one.flag, one.text, now)
		if err != nil {
			return nil, err
		}
		*one.to = &at
	}
	return &o.params, nil
}

// readMoment reads a moment, a date (UTC), or how long ago it is.
func readMoment(flag, text string, now time.Time) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	ago, err := readSpan(flag, text)
	if err != nil {
		return time.Time{}, fault.Field(flag, "%q: expected a moment as 2026-01-31T22:00:00Z, a date, or how long ago, as 36h or 7d", text)
	}
	return now.Add(-ago), nil
}

func (a *app) auditList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List records, newest first",
		Example: `  backfleet audit list --actor olga --from 7d
  backfleet audit list --code denied -o wide
  backfleet audit list --target backfill/b12 -o json`,
		Args: exactly(0),
	}
	var filter auditFilter
	l := a.lists(c, true)
	l.further = []string{"VIA", "REQUEST", "MESSAGE", "BEFORE", "AFTER"}
	filter.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		params, err := filter.build(a.Now())
		if err != nil {
			return err
		}
		params.Contains = l.contains
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.AuditRecord, string, error) {
			params.Cursor, params.Limit = cursor, limit
			p, err := cl.Audit(ctx, params)
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(r v1.AuditRecord) string { return count(r.Number) }, []string{"NUMBER", "AT", "USER", "FROM", "OPERATION", "TARGET", "RESULT", "WHY"},
			func(w io.Writer, r v1.AuditRecord) []string {
				result := "ok"
				if r.Code != "" {
					result = r.Code
				}
				target := r.Target
				if r.Count > 1 {
					target = strings.TrimSpace(fmt.Sprintf("%s (%d)", target, r.Count))
				}
				return []string{count(r.Number), moment(&r.At), r.Actor, r.From, r.Operation, target, a.word(w, result), r.Why, r.Via, r.RequestID, r.Message, r.Before, r.After}
			})
	}
	return c
}

func (a *app) auditExport() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Write all records that match as JSON, one a line",
		Long: `Writes all records that match, newest first, a JSON object a line. The exit status is
not 0 when they are not all of them.`,
		Example: "  backfleet audit export --from 2026-01-01 --to 2026-02-01 > audit-2026-01.jsonl",
		Args:    exactly(0),
	}
	var filter auditFilter
	k := a.connects(c)
	filter.flags(c)
	c.Flags().StringVar(&filter.params.Contains, "contains", "", "only where any text of the record contains this `text`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		params, err := filter.build(a.Now())
		if err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		records, err := cl.ExportAudit(c.Context(), params)
		if err != nil {
			return err
		}
		defer records.Close()
		if _, err := io.Copy(a.Out, records); err != nil {
			return fault.Wrap(err, fault.Unavailable, "the records broke off: export them again")
		}
		return nil
	}
	return c
}

func (a *app) baselineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List baselines, their priorities and how many nodes name them",
		Example: "  backfleet baseline list",
		Args:    exactly(0),
	}
	l := a.lists(c, true)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Baseline, string, error) {
			p, err := cl.Baselines(ctx, &v1.ListBaselinesParams{Contains: l.contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(b v1.Baseline) string { return b.Name }, []string{"NAME", "PRIORITY", "NODES"},
			func(_ io.Writer, b v1.Baseline) []string {
				return []string{b.Name, strconv.Itoa(b.Priority), count(b.Nodes)}
			})
	}
	return group("baseline", "Look at baselines, by which nodes have their priorities", c)
}
