package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

type logsOptions struct {
	*app
	connection *connection
	follow     bool
	attempt    int
	tail       int
	stream     string
	timestamps bool
	output     string
	search     string
	regex      bool
	ignoreCase bool
	context    int
	limit      int
}

func (a *app) instanceLogs() *cobra.Command {
	o := &logsOptions{app: a}
	c := &cobra.Command{
		Use: "logs INSTANCE", Short: "Print an attempt's log",
		Long: `Prints what an attempt wrote, stdout and stderr in their order. With --follow it
goes on until the attempt ends, also when it is handed to another coordinator.

With --output the whole log goes into a file, byte by byte as it was written. With
--search only lines that match are printed, each run of lines apart from the next
by a line "--"; the exit status is 3 when none does.`,
		Example: `  backfleet instance logs b12.345 --follow
  backfleet instance logs b12.345 --search 'permission denied' --around 3
  backfleet instance logs b12.345 --output b12.345.log
  backfleet instance logs b12.345 --attempt 1 --timestamps --stream stderr
  backfleet instance logs b12.345 --tail 20`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), args[0]) },
	}
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on as the log grows")
	c.Flags().IntVar(&o.attempt, "attempt", 0, "`number` of the attempt, from 1; default the newest")
	c.Flags().IntVar(&o.tail, "tail", 0, "only the last so many `lines`")
	c.Flags().StringVar(&o.stream, "stream", "", "only `stdout` or stderr")
	c.Flags().BoolVar(&o.timestamps, "timestamps", false, "begin each line with its time and stream")
	c.Flags().StringVarP(&o.output, "output", "o", "", "write the whole log into this `file`")
	c.Flags().StringVar(&o.search, "search", "", "only lines that contain this `text`")
	c.Flags().BoolVar(&o.regex, "regex", false, "what is searched for is a regular expression")
	c.Flags().BoolVarP(&o.ignoreCase, "ignore-case", "i", false, "search for upper and lower case alike")
	c.Flags().IntVarP(&o.context, "around", "C", 0, "so many `lines` before and after each that matches")
	c.Flags().IntVar(&o.limit, "limit", 0, "at most so many lines that match; 0: all")
	o.connection = a.connects(c)
	return c
}

// check refuses flags that do not go together.
func (o *logsOptions) check() error {
	stream := v1.LogStream(o.stream)
	other := ""
	switch {
	case o.follow:
		other = "--follow"
	case o.tail > 0:
		other = "--tail"
	}
	switch {
	case stream != "" && !stream.Valid():
		return fault.Field("--stream", "%q is not known: expected stdout or stderr", o.stream)
	case o.output != "" && o.search != "":
		return fault.Field("--output", "the whole log is written: leave out --search, or --output")
	case o.output != "" && other != "":
		return fault.Field("--output", "the whole log is written: leave out %s, or --output", other)
	case o.search != "" && other != "":
		return fault.Field("--search", "all of the log is searched: leave out %s, or --search", other)
	case o.search == "" && (o.regex || o.ignoreCase || o.context != 0 || o.limit != 0):
		return fault.Field("--search", "it is missing: --regex, --ignore-case, --around and --limit say how to search")
	case o.limit < 0:
		return fault.Field("--limit", "%d: expected 0 for all, or how many", o.limit)
	}
	return nil
}

func (o *logsOptions) run(ctx context.Context, id string) error {
	if err := o.check(); err != nil {
		return err
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	switch {
	case o.output != "":
		return o.save(ctx, cl, id)
	case o.search != "":
		return o.find(ctx, cl, id)
	}
	stream := v1.LogStream(o.stream)
	var offset uint64
	attempt := o.attempt
	if !o.follow || o.tail > 0 {
		next := v1.ReadLogParams{Attempt: attempt, Tail: o.tail, Stream: stream}
		for {
			page, err := cl.Log(ctx, id, &next)
			if err != nil {
				return err
			}
			if err := o.print(page.Lines); err != nil {
				return err
			}
			attempt, offset = page.Attempt, page.Next
			if page.Complete {
				return nil
			}
			if o.tail > 0 || page.Next == next.Offset {
				break
			}
			next.Attempt, next.Offset = attempt, offset
		}
	}
	if !o.follow {
		return nil
	}
	return cl.Follow(ctx, id, &v1.FollowLogParams{Attempt: attempt, Offset: offset, Stream: stream},
		func(l v1.LogLines) error { return o.print(l.Lines) })
}

// print writes lines as the process did, or each piece with its time.
func (o *logsOptions) print(lines []v1.LogLine) error {
	var b strings.Builder
	for _, l := range lines {
		if o.timestamps {
			fmt.Fprintf(&b, "%s %s ", l.Time.Format("2006-01-02T15:04:05.000Z07:00"), l.Stream)
		}
		b.WriteString(l.Text)
		if o.timestamps || !l.Partial {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// save writes the whole log into a file, which is there when it is whole.
func (o *logsOptions) save(ctx context.Context, cl *client.Client, id string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(o.output), filepath.Base(o.output)+".part-*")
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "--output: no file can be made there")
	}
	defer func() {
		_ = file.Close() // a second time, when all went well
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	failed := func(err error) error { return fault.Wrap(err, fault.Invalid, "--output: the file cannot be written") }
	p := v1.ReadLogParams{Attempt: o.attempt, Stream: v1.LogStream(o.stream), Timestamps: o.timestamps, Limit: 4 << 20}
	size := 0
	for {
		part, err := cl.LogText(ctx, id, &p)
		if err != nil {
			return err
		}
		if _, err := file.Write(part.Text); err != nil {
			return failed(err)
		}
		size += len(part.Text)
		if part.Complete {
			break
		}
		if part.Next == p.Offset {
			fmt.Fprintf(o.Err, "attempt %d has not ended: this is its log so far\n", part.Attempt)
			break
		}
		p.Attempt, p.Offset = part.Attempt, part.Next
	}
	if err := file.Close(); err != nil {
		return failed(err)
	}
	if err := os.Rename(file.Name(), o.output); err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(o.Err, "%s: %s\n", o.output, number(size, "byte"))
	return err
}

// find prints the lines that match, as they are found.
func (o *logsOptions) find(ctx context.Context, cl *client.Client, id string) error {
	const most = 1000
	p := v1.SearchLogParams{
		Text: o.search, Regex: o.regex, IgnoreCase: o.ignoreCase, Context: o.context, Attempt: o.attempt, Stream: v1.LogStream(o.stream),
	}
	found, shown := 0, uint64(0) // lines that match, and behind where the last that was printed begins
	for {
		if p.Limit = most; o.limit > 0 {
			p.Limit = min(most, o.limit-found)
		}
		page, err := cl.SearchLog(ctx, id, &p)
		if err != nil {
			return err
		}
		for _, passage := range page.Passages {
			lines := passage.Lines
			for len(lines) > 0 && shown > 0 && lines[0].Offset < shown { // around a match of the page before, too
				lines = lines[1:]
			}
			if len(lines) == 0 {
				continue
			}
			if o.context > 0 && shown > 0 {
				fmt.Fprintln(o.Out, "--")
			}
			for i := range lines {
				lines[i].Partial = false // whatever follows is another line here
			}
			if err := o.print(lines); err != nil {
				return err
			}
			shown = lines[len(lines)-1].Offset + 1
		}
		found += page.Matches
		if !page.Incomplete || o.limit > 0 && found >= o.limit {
			break
		}
		p.Attempt, p.Offset = page.Attempt, page.Next
	}
	if found == 0 {
		return fault.New(fault.NotFound, "no line of the log of %s matches %q", id, o.search)
	}
	return nil
}
