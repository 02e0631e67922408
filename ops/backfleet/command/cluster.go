package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/pkg/backup"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// recoverCommand works on a folder, like restore, with no cluster there.
func recoverCommand() *cobra.Command {
	var dir, id string
	var sure, force bool
	c := &cobra.Command{
		Use: "recover --data DIR --id ID", Short: "After the loss of a majority: go on from one survivor",
		Long: `Makes the coordinator of a data folder the only voter of its cluster, with all that
its log holds. Without --yes it shows where the log ends and changes nothing: of
several survivors take the one with the highest term, and of these the one with the
highest index. What only the lost ones had is lost.

The cluster has a new generation then. The former members and their folders are
refused from then on; they become members again with empty folders and --join.
Agents go over to the new generation and do not go back. The coordinator must be
stopped, and so must the others.`,
		Example: `  backfleet cluster recover --data /var/lib/backfleet --id c2
  backfleet cluster recover --data /var/lib/backfleet --id c2 --yes`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&dir, "data", "", "data `folder` of the survivor")
	f.StringVar(&id, "id", "", "`id` of the survivor")
	f.BoolVarP(&sure, "yes", "y", false, "do it; without, only look")
	f.BoolVar(&force, "force", false, "also when somebody answers at the address of another member")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := folderGiven(dir); err != nil {
			return err
		}
		scratch, err := os.MkdirTemp("", "backfleet-recover-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		at, err := raftnode.Survey(dir, id, scratch, machine.New())
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		showExtent(out, dir, at)
		if !sure {
			fmt.Fprintln(out, "Nothing was changed. With --yes it becomes the only voter of the cluster.")
			return nil
		}
		if !force {
			if err := raftnode.Running(c.Context(), id, at.Members); err != nil {
				return err
			}
		}
		now, err := raftnode.Recover(dir, id, machine.New(), time.Now())
		if err != nil {
			return err
		}
		founded(out, now)
		return nil
	}
	return c
}

func folderGiven(dir string) error {
	if dir == "" {
		return fault.Field("--data", "it is empty: give a coordinator's data folder")
	}
	if _, err := os.Stat(dir); err != nil {
		return fault.Wrap(err, fault.NotFound, "data folder %s: cannot be looked at", dir)
	}
	return nil
}

func showExtent(w io.Writer, dir string, e raftnode.Extent) {
	var members []string
	for _, m := range e.Members {
		kind := ""
		if !m.Voter {
			kind = " (no voter)"
		}
		members = append(members, m.ID+" at "+m.RaftAddress+kind)
	}
	fmt.Fprintf(w, "Folder:     %s of coordinator %s\nLast entry: term %d, index %d\nGeneration: %s\nMembers:    %s\n",
		dir, e.ID, e.Term, e.Index, wire.GenerationText(e.Generation), strings.Join(members, ", "))
	if e.Retired != "" {
		fmt.Fprintf(w, "Retired:    %s\n", e.Retired)
	}
}

func founded(w io.Writer, e raftnode.Extent) {
	fmt.Fprintf(w, "%s is the only voter of generation %s, from index %d on. Start it without --join, then the others on empty folders with --join.\n",
		e.ID, wire.GenerationText(e.Generation), e.Index)
}

// facts reads what a backup holds, which verifies it to the last fact.
func facts(path string) (*backup.File, *machine.Machine, error) {
	file, err := backup.Open(path)
	if err != nil {
		return nil, nil, err
	}
	m := machine.New()
	if err := m.Restore(file.Facts()); err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, m, nil
}

func inspectCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "inspect FILE", Short: "Verify a backup, and show what is in it",
		Long:    "Reads all of a backup, without a cluster, and shows what it holds. One that is cut off or damaged\nis refused with exit status 8.",
		Example: "  backfleet cluster snapshot inspect /backup/backfleet.snapshot -o json",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		if output != "table" && output != "json" {
			return fault.Field("--output", "%q is not known: expected table or json", output)
		}
		file, _, err := facts(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		h, out := file.Header, c.OutOrStdout()
		if output == "json" {
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			return e.Encode(struct {
				backup.Header
				Generation string `json:"generation"` // too large for a number of JSON
				Bytes      int64  `json:"bytes"`
			}{h, wire.GenerationText(h.Generation), file.Bytes})
		}
		fmt.Fprintf(out, "Cluster:    %s\nTime:       %s\nIndex:      %d, of term %d\nGeneration: %s\nVersion:    %s, rules of version %d\nHolds:      %d nodes, %d backfills with %d instances (%d running), %d agents, %d users\n",
			h.Cluster, h.Time.Format(time.RFC3339), h.Index, h.Term, wire.GenerationText(h.Generation), h.Version, h.Behaviour,
			h.Counts.Nodes, h.Counts.Backfills, h.Counts.Instances, h.Counts.Running, h.Counts.Agents, h.Counts.Users)
		return nil
	}
	return c
}

func restoreCommand() *cobra.Command {
	var dir, id string
	c := &cobra.Command{
		Use: "restore FILE --data DIR --id ID", Short: "Make a data folder of a backup, for a cluster of one",
		Long: `Makes a new data folder of a backup. The coordinator that starts on it is the only
voter of a cluster with a new generation; others join it with empty folders. What
happened after the backup is not known: backfills accepted since are gone, what ran
since is ended by the agents and runs again as the backup has it, tokens that were
revoked since hold again. Agents go over to the new generation and do not go back.

The log goes on far beyond the backup's index, and backfills are numbered on from
the next thousand but one: nothing new is taken for something that was lost.`,
		Example: "  backfleet cluster snapshot restore /backup/backfleet.snapshot --data /var/lib/backfleet --id c1",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&dir, "data", "", "`folder` to make; absent, or empty")
	c.Flags().StringVar(&id, "id", "", "`id` of the coordinator")
	c.RunE = func(c *cobra.Command, args []string) error {
		if dir == "" {
			return fault.Field("--data", "it is empty: give the folder to make")
		}
		file, m, err := facts(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		at := raftnode.Extent{Index: file.Index, Term: file.Term, Generation: file.Generation}
		now, err := raftnode.Restore(filepath.Clean(dir), id, m, at, time.Now())
		if err != nil {
			return err
		}
		founded(c.OutOrStdout(), now)
		return nil
	}
	return c
}
