package command

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"backfleet/coordinator/server"
	"backfleet/pkg/calendar"
)

func TestR10_4_SettingsAsFlags(t *testing.T) {
	s := settings(server.DefaultSettings())
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.addFlags(f)
	for flag, want := range map[string]string{
		"schedule-generate-at": "22:00", "schedule-catch-up": "7d", "keep-instances": "30d", "keep-agents": "7d", "keep-logs-shared": "7d",
		"keep-logs-exclusive": "30d", "logs-cut-at": "03:00", "conflict-yields": "3", "backfill-patience": "1m0s", "limit-groups": "10",
		"stuck-after": "30m0s", "notify-for": "1d",
	} {
		if got := f.Lookup(flag); got == nil || got.DefValue != want || got.Usage == "" {
			t.Errorf("--%s: %+v, want the default %s and a text", flag, got, want)
		}
	}
	args := []string{
		"--schedule-generate-at=06:30", "--schedule-catch-up=0s", "--keep-instances=36h", "--keep-agents=2h", "--keep-logs-shared=1d", "--keep-logs-exclusive=2d",
		"--logs-cut-at=00:00", "--conflict-yields=1", "--backfill-patience=5s", "--limit-groups=20",
		"--stuck-after=2h", "--notify-for=12h",
	}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	want := settings{
		GenerateAt: calendar.Clock(6*3600 + 30*60), KeepInstances: 36 * time.Hour, KeepAgents: 2 * time.Hour, KeepLogsShared: 24 * time.Hour,
		KeepLogsExclusive: 48 * time.Hour, ConflictYields: 1, BackfillPatience: 5 * time.Second, MaxGroups: 20,
		StuckAfter: 2 * time.Hour, NotifyFor: 12 * time.Hour,
	}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, arg := range []string{"--schedule-generate-at=24:30", "--schedule-generate-at=late", "--keep-instances=30", "--keep-instances=-1d", "--keep-instances=1.5d", "--keep-instances=99999999d"} {
		name, _, _ := strings.Cut(arg, "=")
		if err := f.Parse([]string{arg}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestBoundsOfTheLogAsFlags(t *testing.T) {
	c := coordinatorCommand("test")
	for flag, want := range map[string]string{
		"raft-snapshot-entries": "65536", "raft-snapshot-bytes": "67108864", "raft-trailing-entries": "10240", "raft-trailing-bytes": "134217728",
	} {
		if got := c.Flags().Lookup(flag); got == nil || got.DefValue != want || got.Usage == "" {
			t.Errorf("--%s: %+v, want the default %s and a text", flag, got, want)
		}
	}
}
