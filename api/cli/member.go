package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "backfleet/api/v1"
	"backfleet/pkg/backup"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func (a *app) clusterRemove() *cobra.Command {
	var force, sure bool
	c := &cobra.Command{
		Use: "remove ID", Short: "Take a coordinator out of the cluster",
		Long: `Takes a coordinator out of the cluster for good. If it leads, it hands leadership
over first. It is refused for the only voter, and while fewer than a majority of
the others can be reached; --force leaves out the latter, and without a majority
nothing can be removed all the same (see cluster recover).

The coordinator notices, takes no more part, and says so on /readyz. Its folder is
of no use any more: it becomes a member again with an empty one. To add one, start
it on an empty folder with --join, and wait with cluster status --wait.`,
		Example: "  backfleet cluster remove c2 --why 'the host is replaced by c4'",
		Args:    exactly(1),
	}
	c.Flags().BoolVar(&force, "force", false, "also while fewer than a majority of the others can be reached")
	c.Flags().BoolVarP(&sure, "yes", "y", false, "do it without asking")
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := o.begin()
		if err != nil {
			return err
		}
		id := args[0]
		if !sure {
			s, err := cl.Cluster(c.Context())
			if err != nil {
				return err
			}
			if !a.agreed(removal(s, id)) {
				return errUnchanged
			}
		}
		r, err := cl.RemoveServer(c.Context(), id, force, o.why)
		if err != nil {
			return err
		}
		return o.output.answer(r, []string{id}, func(w io.Writer) { fmt.Fprintf(w, "%s is no member any more\n", id) })
	}
	return c
}

// removal asks whether a coordinator is to go, and says what that leaves.
func removal(s *v1.Cluster, id string) string {
	left := 0
	for _, one := range s.Servers {
		if one.ID != id && one.Role != v1.ServerRoleNonVoter {
			left++
		}
	}
	return fmt.Sprintf("Remove %s for good? %s are left, and survive the loss of %d.", id, number(left, "voter"), max(0, (left-1)/2))
}

// agreed asks a question. Without an answer it is no.
func (a *app) agreed(question string) bool {
	fmt.Fprint(a.Err, question+" [y/N] ")
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(a.Err, "(no answer: give --yes where nobody can be asked)")
	}
	word := strings.ToLower(strings.TrimSpace(answer))
	return word == "y" || word == "yes"
}

func (a *app) snapshotSave() *cobra.Command {
	var limit time.Duration
	c := &cobra.Command{
		Use: "save FILE", Short: "Write a backup of all facts to a file",
		Long: `Writes all facts (nodes, backfills and what became of them, settings, users) as of now
to a file. It is complete and verified when it has its name; one that was there
before stays until then. Logs of attempts are not in it, and of tokens only hashes.`,
		Example: "  backfleet cluster snapshot save /backup/backfleet-$(date +%F).snapshot",
		Args:    exactly(1),
	}
	c.Flags().DurationVar(&limit, "within", time.Hour, "give up after this `time`")
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if args[0] == "" || args[0] == "-" {
			return fault.Field("FILE", "expected the name of a file: what is written is verified before it gets it")
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		var h *backup.Header
		var size int64
		err = within(c.Context(), limit, "the backup is not complete", func(ctx context.Context) error {
			h, size, err = backup.Save(args[0], func(w io.Writer) error { return cl.SaveSnapshot(ctx, a.progress(w)) })
			return err
		})
		if err != nil {
			return err
		}
		return out.answer(h, []string{args[0]}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s, of %s at index %d (generation %s): %s, %s, %s, %s\n", args[0], roundSize(size), moment(&h.Time), h.Index,
				wire.GenerationText(h.Generation), number(h.Counts.Nodes, "node"), number(h.Counts.Backfills, "backfill"), number(h.Counts.Instances, "instance"), number(h.Counts.Users, "user"))
		})
	}
	return c
}

// progress tells on a terminal how much has come.
func (a *app) progress(w io.Writer) io.Writer {
	if !onTerminal(a.Err) {
		return w
	}
	return &progressWriter{w: w, app: a}
}

type progressWriter struct {
	w     io.Writer
	app   *app
	bytes int64
	told  time.Time
}

// Write implements io.Writer.
func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.bytes += int64(n)
	if now := p.app.Now(); now.Sub(p.told) > watchRefresh {
		p.told = now
		fmt.Fprintf(p.app.Err, "\r%s \x1b[K", roundSize(p.bytes))
	}
	return n, err
}
