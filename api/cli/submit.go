package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"backfleet/api/cli/requestfile"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) backfillCommand() *cobra.Command {
	return group("backfill", "Preview, submit, watch and steer backfills",
		a.backfillPreview(), a.backfillSubmit(), a.backfillDiff(), a.backfillExport(), a.backfillExample(), a.backfillSchema(),
		a.backfillList(), a.backfillShow(), a.backfillExplain(), a.backfillWatch(), a.backfillWait(),
		a.backfillReceipt(), a.backfillDates(), a.backfillFailures(), a.steer("stop"), a.steer("pause"), a.steer("resume"), a.backfillRerun(),
		a.steer("freeze"), a.steer("unfreeze"), a.backfillEdit(), a.backfillOperations())
}

type submitOptions struct {
	*app
	connection *connection
	output     *output
	request    *requestOptions
	key        string
	again      bool
	stay       *waiting
}

func (a *app) backfillSubmit() *cobra.Command {
	o := &submitOptions{app: a}
	c := &cobra.Command{
		Use: "submit [-f FILE] [--node ID] [flags]", Short: "Submit a backfill",
		Long: `Submits a backfill. Once its id is printed it is durable and goes on by itself.

With -f the request is read from a file, which can be kept and reviewed beside
code (see backfleet backfill example); flags given beside it override single
fields. Several files, a folder of *.yaml, or several documents in a file are
several backfills: all are read and previewed first, and nothing is submitted
where one is wrong. A file is submitted once: its key is the field "key", or made
of what it asks for. What was submitted before, in the last 24 hours or, where
the file names the backfill, at any time, is not submitted again, unless --again
is given.

With --watch or --wait the command stays until the backfill is quiet, and its
exit status is 1 unless all of it succeeded. An interrupt ends the watching, not
the backfill.`,
		Example: `  backfleet backfill submit --node dwd_orders --dates 2024-01-01..2024-01-31
  backfleet backfill submit -f backfills/orders.yaml --groups 8 --watch
  backfleet backfill example | backfleet backfill submit -f - --wait
  backfleet backfill submit --node ingest --mode descendants --dates 2012-01-01..2015-12-31 --groups 10 --watch
  backfleet backfill submit --node ingest --only clean,rolling --dates 2024-02-29 --gate node --order desc
  backfleet backfill submit --node ingest --mode massive --workspace shop,ads --blacklist old_report --dates 2024-01-01
  backfleet backfill submit --filter owner=ada,type=shell --only clean --dates 2024-01-01
  backfleet backfill submit --node ingest --end report --dates 2024-01-01 --period daily --period-from 22:00 --period-to 06:00
  backfleet backfill submit --node ingest --param ingest:source=archive -o name
  backfleet backfill submit --node dim_customer --mode descendants --field dim_customer.level --dates 2024-01-01`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	o.connection, o.output, o.request = a.connects(c), a.prints(c), a.requests(c)
	f := c.Flags()
	f.StringVar(&o.key, "idempotency-key", "", "submit at most once under this `key`, also over several calls; of a file that of its field key")
	f.BoolVar(&o.again, "again", false, "submit a file once more")
	o.stay = a.waits(c, "it is quiet")
	o.stay.watches(c)
	return c
}

// submitted is the answer about one request.
type submitted struct {
	v1.Submission
	File   string `json:"file,omitempty"`
	Key    string `json:"key,omitempty"`
	Before bool   `json:"before,omitempty"` // it was submitted by an earlier call
}

func (o *submitOptions) run(ctx context.Context) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if err := o.stay.check(); err != nil {
		return err
	}
	switch {
	case o.again && len(o.request.files) == 0:
		return fault.Field("--again", "it is for files, which are submitted once: without -f every call submits")
	case o.again && o.key != "":
		return fault.Field("--again", "a key submits at most once: give another key instead")
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	files, err := o.request.read(ctx, cl)
	if err != nil {
		return err
	}
	if o.key != "" && len(files) > 1 {
		return fault.Field("--idempotency-key", "%d requests were read: expected one, or the field key in each", len(files))
	}
	if len(o.request.files) > 0 {
		if err := o.check(ctx, cl, files); err != nil {
			return err
		}
	}
	var done []submitted
	for _, f := range files {
		s, failed := o.submit(ctx, cl, f)
		if err = failed; err != nil {
			break
		}
		o.warn(named(f, s.Warnings))
		done = append(done, *s)
	}
	if told := o.tell(done, len(files)); err == nil {
		err = told
	}
	if err != nil {
		return err
	}
	// What follows is for people, beside an answer that a machine reads.
	var ids []string
	for _, s := range done {
		ids = append(ids, s.ID)
	}
	return o.stay.quiet(ctx, cl, ids)
}

// check previews all requests, so that none is submitted where one is wrong.
func (o *submitOptions) check(ctx context.Context, cl *client.Client, files []*requestfile.File) error {
	var wrong []fault.Detail
	for _, f := range files {
		_, err := cl.Preview(ctx, f.Request, &v1.PreviewBackfillParams{Limit: 1})
		var e *fault.Error
		switch err = f.Locate(err); {
		case err == nil:
		case len(files) == 1 || !errors.As(err, &e) || e.Code != fault.Invalid && e.Code != fault.NotFound && e.Code != fault.Conflict:
			return err
		case len(e.Details) > 0:
			wrong = append(wrong, e.Details...)
		default:
			wrong = append(wrong, fault.Detail{Message: e.Message})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "nothing was submitted").WithDetails(wrong...)
}

// submit submits one request, unless an earlier call did.
func (o *submitOptions) submit(ctx context.Context, cl *client.Client, f *requestfile.File) (*submitted, error) {
	out := &submitted{File: f.Name, Key: o.key}
	switch {
	case out.File == "":
	case o.again && f.Key != "":
		return nil, fault.Field("--again", "%s has the key %q, which submits at most once: change it there", f.Name, f.Key)
	case !o.again:
		out.Key = cmp.Or(o.key, f.Key, requestfile.KeyOf(f.Request))
		b, err := earlier(ctx, cl, f.Request)
		if err != nil {
			return nil, err
		}
		if b != nil {
			s := b.Summary
			out.Before, out.Submission = true, v1.Submission{ID: s.ID, Name: s.Name, Warnings: []v1.Warning{},
				Totals: v1.PreviewTotals{Instances: b.Receipt.Generated, Asked: b.Receipt.Asked, Bridges: b.Receipt.Bridges, DryRun: b.Receipt.DryRun}}
			return out, nil
		}
	}
	newest := cl.Index()
	s, err := cl.Submit(ctx, f.Request, out.Key)
	if err != nil {
		return nil, f.Locate(err)
	}
	out.Submission = *s
	out.Before = out.File != "" && s.Index <= newest
	return out, nil
}

// earlier finds the newest backfill of the request's own name, if it asked for
// the same; nil otherwise. Keys are kept for a day, names as long as backfills.
func earlier(ctx context.Context, cl *client.Client, r v1.BackfillRequest) (*v1.Backfill, error) {
	if r.Name == "" {
		return nil, nil
	}
	b, err := byName(ctx, cl, r.Name)
	if b == nil || err != nil || len(differences(b.Request, r)) > 0 {
		return nil, err
	}
	return b, nil
}

// byName finds the newest backfill of a name; nil where there is none.
func byName(ctx context.Context, cl *client.Client, name string) (*v1.Backfill, error) {
	cursor := ""
	for {
		p, err := cl.Backfills(ctx, &v1.ListBackfillsParams{Contains: name, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, s := range p.Items {
			if s.Name == name {
				return cl.Backfill(ctx, s.ID)
			}
		}
		if cursor = p.Next; cursor == "" {
			return nil, nil
		}
	}
}

// tell answers: of one request as the API does, of several with a list.
func (o *submitOptions) tell(done []submitted, asked int) error {
	var ids []string
	for _, s := range done {
		ids = append(ids, s.ID)
	}
	people := func(w io.Writer) {
		for _, s := range done {
			before := ""
			if s.Before {
				before = "; it was submitted before, nothing new was started (--again starts it anew)"
			}
			fmt.Fprintf(w, "%s %s: %s%s\n", s.ID, s.Name, totalsText(s.Totals), before)
		}
	}
	switch {
	case len(done) == 0:
		return nil
	case asked == 1:
		return o.output.answer(done[0], ids, people)
	default:
		return o.output.answer(done, ids, people)
	}
}
