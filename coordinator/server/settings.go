package server

import (
	"time"

	"backfleet/coordinator/cycle"
	"backfleet/coordinator/notify"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Settings are the times and bounds of the rules (RULES R4.1, R5.6, R7.5, R10).
type Settings struct {
	GenerateAt        calendar.Clock // in the cluster's zone, on day D
	CatchUp           time.Duration  // missed days of the schedule are made up for
	KeepInstances     time.Duration  // after a plan's last change
	KeepAgents        time.Duration  // after they were lost or have said that they end
	KeepLogsShared    time.Duration  // after the attempt's end, in shared resource groups
	KeepLogsExclusive time.Duration  // in exclusive ones
	LogsCutAt         calendar.Clock // in the cluster's zone
	ConflictYields    int            // how often an instance gives way to the schedule
	BackfillPatience  time.Duration  // how long a ready backfill instance waits before it goes first
	MaxGroups         int            // of a backfill
	StuckAfter        time.Duration  // nothing of a plan has run or ended for so long (RULES R15.6)
	NotifyFor         time.Duration  // how long a channel that refuses is tried
}

// DefaultSettings are those of the rules.
func DefaultSettings() Settings {
	const day = 24 * time.Hour
	return Settings{
		GenerateAt: clockOf(cycle.Defaults.GenerateAt), CatchUp: cycle.Defaults.CatchUp, KeepInstances: cycle.Defaults.KeepInstances,
		KeepAgents: cycle.Defaults.KeepAgents, KeepLogsShared: 7 * day, KeepLogsExclusive: 30 * day, LogsCutAt: clockOf(3 * time.Hour),
		ConflictYields: 3, BackfillPatience: time.Minute, MaxGroups: state.MaxGroups,
		StuckAfter: 30 * time.Minute, NotifyFor: day,
	}
}

func clockOf(d time.Duration) calendar.Clock { return calendar.Clock(d / time.Second) }

func sinceMidnight(c calendar.Clock) time.Duration { return time.Duration(c) * time.Second }

// Bounds of settings.
const (
	longestKept = 10 * 366 * 24 * time.Hour
	mostCatchUp = 366 * 24 * time.Hour
	mostYields  = 1000
	mostGroups  = 1000
)

// check refuses what the rules cannot work with, by the name of the flag.
func (s *Settings) check() error {
	for _, d := range []struct {
		field        string
		value        time.Duration
		least, most  time.Duration
		least0, what string
	}{
		{"schedule-catch-up", s.CatchUp, 0, mostCatchUp, "0", "366d"},
		{"keep-instances", s.KeepInstances, time.Minute, longestKept, "1m", "3660d"},
		{"keep-agents", s.KeepAgents, time.Minute, longestKept, "1m", "3660d"},
		{"keep-logs-shared", s.KeepLogsShared, time.Minute, longestKept, "1m", "3660d"},
		{"keep-logs-exclusive", s.KeepLogsExclusive, time.Minute, longestKept, "1m", "3660d"},
		{"backfill-patience", s.BackfillPatience, time.Second, 24 * time.Hour, "1s", "24h"},
		{"stuck-after", s.StuckAfter, time.Second, 31 * 24 * time.Hour, "1s", "31d"},
		{"notify-for", s.NotifyFor, time.Second, 31 * 24 * time.Hour, "1s", "31d"},
	} {
		if d.value < d.least || d.value > d.most {
			return fault.Field(d.field, "%v: expected %s to %s", d.value, d.least0, d.what)
		}
	}
	for _, n := range []struct {
		field       string
		value, most int
	}{{"conflict-yields", s.ConflictYields, mostYields}, {"limit-groups", s.MaxGroups, mostGroups}} {
		if n.value < 1 || n.value > n.most {
			return fault.Field(n.field, "%d: expected 1 to %d", n.value, n.most)
		}
	}
	for field, at := range map[string]calendar.Clock{"schedule-generate-at": s.GenerateAt, "logs-cut-at": s.LogsCutAt} {
		if at < 0 || sinceMidnight(at) >= 24*time.Hour {
			return fault.Field(field, "%d seconds after midnight: expected a time of day, 00:00 to 23:59", at)
		}
	}
	return nil
}

func (s *Settings) scheduler() schedule.Settings {
	return schedule.Settings{PatienceMs: s.BackfillPatience.Milliseconds(), Yields: s.ConflictYields}
}

func (s *Settings) notify() notify.Settings {
	return notify.Settings{StuckAfter: s.StuckAfter, Patience: s.NotifyFor}
}

func (s *Settings) cycle(zone string) cycle.Settings {
	return cycle.Settings{GenerateAt: sinceMidnight(s.GenerateAt), CatchUp: s.CatchUp, KeepInstances: s.KeepInstances, KeepAgents: s.KeepAgents, Zone: zone}
}
