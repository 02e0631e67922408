package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// clock is the time of day some seconds from now, in a zone in which midnight
// is far, and that zone.
func clock(in time.Duration) (at time.Time, zone string) {
	now := time.Now().UTC()
	if h := now.Hour(); h > 0 && h < 23 {
		return now.Add(in), "UTC"
	}
	return now.Add(in + 12*time.Hour), "Etc/GMT-12"
}

// auto is the schedule of a node that the schedule runs in some seconds.
func auto(in time.Duration) string {
	at, zone := clock(in)
	return fmt.Sprintf("schedule: {kind: daily, at: %q, zone: %s, auto: true}", at.Format(time.TimeOnly), zone)
}

// day waits for the schedule's instances of a node, and gives the earliest that
// is no dry run, and its plan: from 22:00 on tomorrow's are there as well.
func (s *site) day(node string) (id string, first v1.Instance) {
	s.T.Helper()
	s.Until("the schedule has its instances of "+node, func() bool {
		days, err := s.API.Schedule(s.Ctx, nil)
		s.Must(err)
		for _, d := range days.Items {
			for _, i := range s.Instances(d.Plan.ID) {
				if i.Node == node && i.DryRun == "" && (id == "" || i.ScheduledTime.Before(first.ScheduledTime)) {
					id, first = d.Plan.ID, i
				}
			}
		}
		return id != ""
	})
	return id, first
}

// detail shows an instance.
func (s *site) detail(id string) *v1.InstanceDetail {
	s.T.Helper()
	d, err := s.API.Instance(s.Ctx, id)
	s.Must(err)
	return d
}

// TestR1_TheScheduleRunsWhatIsSwitchedOn: applying a node is all it takes.
// Cycles before that moment are dry runs, those after it run when they are due,
// and what depends on them follows (RULES R1, R5.1, R6).
func TestR1_TheScheduleRunsWhatIsSwitchedOn(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	began := time.Now()
	next, zone := clock(9 * time.Second)
	s.Apply(
		rig.Node{ID: "minutes", Code: "trace end\n", Fields: []string{fmt.Sprintf("schedule: {kind: minutely, from: %q, to: \"23:59:59\", every: 1m, zone: %s, auto: true}",
			next.Add(-3*time.Minute).Format(time.TimeOnly), zone)}},
		rig.Node{ID: "soon", Code: "trace end\n", Fields: []string{auto(9 * time.Second)}},
		rig.Node{ID: "after", Code: "trace end\n", Fields: []string{auto(8 * time.Second), "upstreams: [soon]"}},
		rig.Node{ID: "off", Code: "trace end\n"},
	)
	id, first := s.day("minutes")
	_, soon := s.day("soon")
	if first.Kind != v1.PlanKindAuto || first.ScheduledTime.Before(began) {
		t.Errorf("the first that runs: %+v", first)
	}
	for _, i := range s.Instances(id) {
		switch early := i.Node == "minutes" && i.ScheduledTime.Before(began); {
		case i.Node == "off":
			t.Errorf("it is not switched on: %+v", i)
		case early && i.DryRun != v1.DryRunReasonBeforeSwitchedOn:
			t.Errorf("its time was before the node was there: %+v", i)
		}
	}
	s.Until("minutes, soon and after have run", func() bool {
		return s.Noted("end") >= 3 && s.detail(soon.ID).Instance.State == v1.StateSucceeded
	})
	d := s.detail(first.ID)
	if d.Instance.Attempts != 1 || d.Attempts[0].StartedAt.Before(first.ScheduledTime) {
		t.Errorf("it began before its time: %+v", d)
	}
	got := s.Traced()
	t.Logf("%d attempts by themselves, %s after the nodes were applied", got.Attempts, time.Since(began).Round(time.Millisecond))
}

// TestR5_6_BackfillAndScheduleWantTheSameNode: with yield the backfill's
// attempt is stopped for the schedule's instance and runs again after it; with
// wait the schedule's waits. Both sides say so.
func TestR5_6_BackfillAndScheduleWantTheSameNode(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1, Slots: 4})
	code := `case "$dt" in 2012*) gate=backfill ;; *) gate=schedule ;; esac
until [ -e "$OUT/$gate" ]; do sleep 0.05; done
trace end
`
	s.Apply(rig.Node{ID: "yields", Code: code, Fields: []string{auto(10 * time.Second)}}, rig.Node{ID: "waits", Code: code, Fields: []string{auto(10 * time.Second)}})
	_, theirs := s.day("yields")
	_, others := s.day("waits")
	dates := []string{"2012-01-01"}
	yields := s.submit(v1.BackfillRequest{Root: "yields", Dates: dates}) + ".0"
	waits := s.submit(v1.BackfillRequest{Root: "waits", Dates: dates, OnConflict: v1.OnConflictWait}) + ".0"

	s.Until("the schedule's instance has taken the node over", func() bool {
		return s.detail(theirs.ID).Instance.State == v1.StateRunning && s.detail(yields).Instance.State == v1.StateNotRunning
	})
	d := s.detail(yields)
	if d.Yields != 1 || len(d.Attempts) != 1 || d.Attempts[0].State != v1.AttemptStateYielded || !strings.Contains(d.Attempts[0].Cause, theirs.ID) {
		t.Errorf("the attempt that made way: %+v", d.Attempts)
	}
	if d.Reason == nil || d.Reason.Code != v1.ReasonCodeConflict || d.Reason.Instance != theirs.ID || !strings.Contains(d.Reason.Text, "made way 1 of 3 times") {
		t.Errorf("why it waits: %+v", d.Reason)
	}
	for _, side := range []struct {
		reason *v1.Reason
		other  string
	}{{s.detail(others.ID).Reason, waits}, {s.detail(waits).Conflict, others.ID}} {
		if side.reason == nil || side.reason.Code != v1.ReasonCodeConflict || side.reason.Instance != side.other ||
			!strings.Contains(side.reason.Text, "onConflict is wait") {
			t.Errorf("the conflict with %s: %+v", side.other, side.reason)
		}
	}
	if s.detail(waits).Instance.State != v1.StateRunning {
		t.Error("the one that does not make way was stopped")
	}
	s.Open("schedule")
	s.Open("backfill")
	for _, id := range []string{yields, waits, theirs.ID, others.ID} {
		s.Until(id+" has succeeded", func() bool { return s.detail(id).Instance.State == v1.StateSucceeded })
	}
	if d := s.detail(yields); len(d.Attempts) != 2 || d.Attempts[1].StartedAt.Before(*s.detail(theirs.ID).Instance.EndedAt) {
		t.Errorf("it ran again before the schedule's had ended: %+v", d.Attempts)
	}
	s.Traced()
}
