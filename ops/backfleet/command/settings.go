package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/server"
	"backfleet/pkg/calendar"
)

// settings are what the rules leave to the operator, as flags.
type settings server.Settings

func (s *settings) addFlags(f *pflag.FlagSet) {
	f.Var((*clockFlag)(&s.GenerateAt), "schedule-generate-at", "when the schedule's instances of the next day are made, in the cluster's zone; an hour before the first of them where that is earlier")
	f.Var((*daysFlag)(&s.CatchUp), "schedule-catch-up", "how far back days that the schedule missed are made up for; the running day always is")
	f.Var((*daysFlag)(&s.KeepInstances), "keep-instances", "how long instances are kept after the last change of a backfill in which nothing moves any more")
	f.Var((*daysFlag)(&s.KeepAgents), "keep-agents", "how long an agent is known after it was lost or has said that it ends")
	f.Var((*daysFlag)(&s.KeepLogsShared), "keep-logs-shared", "how long logs are kept after an attempt in a shared resource group")
	f.Var((*daysFlag)(&s.KeepLogsExclusive), "keep-logs-exclusive", "the same in an exclusive resource group")
	f.Var((*clockFlag)(&s.LogsCutAt), "logs-cut-at", "when, each day, old logs are cleared and long ones cut to 3 MB, in the cluster's zone")
	f.IntVar(&s.ConflictYields, "conflict-yields", s.ConflictYields, "how often an instance of a backfill gives way to the schedule before it lets the schedule wait")
	f.DurationVar(&s.BackfillPatience, "backfill-patience", s.BackfillPatience, "how long a backfill's instance waits for a slot before it goes ahead of more urgent ones, once in that time and resource group")
	f.IntVar(&s.MaxGroups, "limit-groups", s.MaxGroups, "the most groups of a backfill")
	f.Var((*daysFlag)(&s.StuckAfter), "stuck-after", "how long nothing of a backfill must have run or ended for people to be told that it is stuck")
	f.Var((*daysFlag)(&s.NotifyFor), "notify-for", "how long a channel that refuses a notification is tried")
}

// addCompaction adds what bounds the replicated log on disk.
func addCompaction(f *pflag.FlagSet, c *raftnode.Compaction) {
	f.Uint64Var(&c.SnapshotEntries, "raft-snapshot-entries", c.SnapshotEntries, "entries of the replicated log after which a snapshot of the facts is taken")
	f.Int64Var(&c.SnapshotBytes, "raft-snapshot-bytes", c.SnapshotBytes, "the same in bytes of entries, or after as many as the last snapshot has if that is more")
	f.Uint64Var(&c.TrailingEntries, "raft-trailing-entries", c.TrailingEntries, "newest entries kept behind a snapshot, for coordinators that were away shortly; those away for longer get the snapshot")
	f.Int64Var(&c.TrailingBytes, "raft-trailing-bytes", c.TrailingBytes, "the most bytes of these entries")
}

// clockFlag is a time of day, as 22:00.
type clockFlag calendar.Clock

// String implements pflag.Value.
func (c *clockFlag) String() string {
	h, m, _ := calendar.Clock(*c).HMS()
	return fmt.Sprintf("%02d:%02d", h, m)
}

// Set implements pflag.Value.
func (c *clockFlag) Set(text string) error {
	at, err := calendar.ParseClock(text)
	if err == nil {
		*c = clockFlag(at)
	}
	return err
}

// Type implements pflag.Value.
func (*clockFlag) Type() string { return "HH:MM" }

// daysFlag is a duration, in days or in any of Go's units: 30d, 36h.
type daysFlag time.Duration

const day = 24 * time.Hour

// String implements pflag.Value.
func (d *daysFlag) String() string {
	if t := time.Duration(*d); t%day != 0 || t == 0 {
		return t.String()
	}
	return strconv.FormatInt(int64(time.Duration(*d)/day), 10) + "d"
}

// Set implements pflag.Value.
func (d *daysFlag) Set(text string) error {
	t, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16)
		t = time.Duration(n) * day
	}
	if err != nil {
		return fmt.Errorf("expected a number of days like 30d, or a duration like 36h")
	}
	*d = daysFlag(t)
	return nil
}

// Type implements pflag.Value.
func (*daysFlag) Type() string { return "days" }
