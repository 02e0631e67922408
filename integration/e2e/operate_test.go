package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// operate does an operation on instances.
func (s *site) operate(o v1.InstanceOperation, why string, instances ...string) *v1.OperationBatch {
	s.T.Helper()
	got, err := s.API.OperateInstances(s.Ctx, v1.InstancesOperation{Operation: o, Instances: instances, Why: why})
	s.Must(err)
	return got
}

// TestR9_ARunningBackfillIsOperatedAndChanged: freeze, force, edit, set to
// success and run again, over the API, while it runs. The receipt adds up at
// the end, and everything is in the log with who and why.
func TestR9_ARunningBackfillIsOperatedAndChanged(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 1, Agents: 1})
	s.Apply(
		rig.Node{ID: "a", Code: `case "$dt" in
20120101) until [ -e "$OUT/go" ]; do sleep 0.05; done ;;
20120102) exit 3 ;;
esac
trace end
`},
		rig.Node{ID: "b", Fields: []string{"upstreams: [a]"}, Code: "trace end\n"},
	)
	id := s.submit(v1.BackfillRequest{Root: "a", Dates: []string{"2012-01-01..2012-01-04"}})
	one := func(number int) string { return id + "." + strconv.Itoa(number) } // a and b of the first date are 0 and 1
	state := func(number int) v1.State { return s.detail(one(number)).Instance.State }
	s.Until("the first runs", func() bool { return state(0) == v1.StateRunning })

	s.operate(v1.InstanceOperationFreeze, "the report is not wanted yet", one(1))
	if r := s.detail(one(1)).Reason; r == nil || r.Code != v1.ReasonCodeFrozen || r.By == "" || r.Since == nil || !strings.Contains(r.Text, "not wanted yet") {
		t.Errorf("frozen: %+v", r)
	}
	s.operate(v1.InstanceOperationForceRun, "a test of the report", one(7))
	s.Until("the last has run without what is before it", func() bool { return state(7) == v1.StateSucceeded })

	edit := v1.BackfillEdit{AddDates: []string{"2012-01-06"}, DropDates: []string{"2012-01-03"}, Why: "the third is a holiday"}
	shown, err := s.API.Edit(s.Ctx, id, edit, true)
	s.Must(err)
	made, err := s.API.Edit(s.Ctx, id, edit, false)
	s.Must(err)
	if shown.Applied || !made.Applied || shown.AddedInstances != 2 || shown.DroppedInstances != 2 || made.AddedInstances != 2 || made.DroppedInstances != 2 {
		t.Errorf("shown %+v, made %+v", shown, made)
	}

	s.Open("go")
	s.Until("the frozen one could have started", func() bool { return strings.Contains(s.detail(one(1)).Reason.Text, "could have started") })
	s.operate(v1.InstanceOperationUnfreeze, "", one(1))
	if got := state(1); got != v1.StateFailed {
		t.Errorf("one that missed its start is %s when it is unfrozen", got)
	}
	s.operate(v1.InstanceOperationSetToSuccess, "made by hand", one(1))
	s.Until("the second date has failed", func() bool { return state(2) == v1.StateFailed })
	s.operate(v1.InstanceOperationSetToSuccess, "its source is gone for good", one(2))
	b := s.Quiet(id)
	want := v1.ReceiptTotals{Generated: 10, Asked: 10, Succeeded: 6, SetToSuccess: 2, DryRun: 2}
	if b.Receipt != want || b.Summary.State != v1.StateSucceeded {
		t.Errorf("receipt %+v, want %+v", b.Receipt, want)
	}
	if d := s.detail(one(1)); len(d.Marks) != 3 || !d.Instance.SetToSuccess || !strings.HasPrefix(d.Marks[2].Text, "set to success by ") {
		t.Errorf("what was done to it: %+v", d.Marks)
	}

	again, err := s.API.Rerun(s.Ctx, id, v1.RerunRequest{Instances: []string{one(0)}, Descendants: &v1.Descendants{All: true}, Why: "once more"})
	s.Must(err)
	if again.Instances != 2 {
		t.Errorf("with its descendants it is %d instances, want 2", again.Instances)
	}
	s.Until("both have run again", func() bool { return s.Quiet(id).Receipt.Succeeded == 7 })
	log, err := s.API.Operations(s.Ctx, id, nil)
	s.Must(err)
	var kinds []string
	for _, o := range log.Items {
		kinds = append(kinds, string(o.Operation))
		if o.Actor == "" || o.At.IsZero() {
			t.Errorf("who did it, and when: %+v", o)
		}
	}
	if got := strings.Join(kinds, " "); got != "rerun setToSuccess setToSuccess unfreeze edit forceRun freeze" {
		t.Errorf("the log, newest first: %s", got)
	}
	s.Traced()
}

// TestR9_AfterAPauseNoLeaseIsGranted: once a pause is acknowledged nothing new
// starts, though the leader that acknowledged it is killed. A lease's fence is
// the place of its grant in the log.
func TestR9_AfterAPauseNoLeaseIsGranted(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 2, Slots: 2})
	s.Apply(rig.Node{ID: "steady", Code: "trace end\n"}, rig.Node{ID: "other", Code: "trace end\n"})
	id := s.submit(v1.BackfillRequest{Root: "steady", Dates: []string{"2012-01-01..2012-12-31"}, Groups: 8})
	s.Until("it runs", func() bool { return s.Noted("start ") > 20 })
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	paused, err := s.API.Operate(s.Ctx, v1.BackfillsOperation{Operation: v1.BackfillOperationPause, Backfills: []string{id}, Why: "the disks are full"})
	s.Must(err)
	s.Must(leader.Kill())
	// The new leader grants leases to others.
	s.Succeeded(s.submit(v1.BackfillRequest{Root: "other", Dates: []string{"2012-01-01..2012-01-20"}, Groups: 4}), 20)
	s.Until("what ran when it was paused has ended", func() bool {
		b, err := s.API.Backfill(s.Ctx, id)
		s.Must(err)
		return b.Receipt.Running == 0
	})
	late := 0
	for _, a := range s.attempts(id) {
		if a.fence > paused.Index {
			late++
		}
	}
	b, err := s.API.Backfill(s.Ctx, id)
	s.Must(err)
	if late > 0 || !b.Summary.Paused || b.Receipt.Waiting == 0 {
		t.Errorf("%d leases after the pause at %d; paused %v, receipt %+v", late, paused.Index, b.Summary.Paused, b.Receipt)
	}
	t.Logf("%d of 366 had succeeded when it was paused", b.Receipt.Succeeded)
	s.Must(leader.Start())
	if _, err := s.API.Operate(s.Ctx, v1.BackfillsOperation{Operation: v1.BackfillOperationResume, Backfills: []string{id}}); err != nil {
		t.Fatal(err)
	}
	s.Succeeded(id, 366)
	s.Traced()
}

// attempt is one that has noted its start.
type attempt struct {
	instance string
	fence    uint64
}

// attempts lists the attempts of a backfill by their own notes.
func (s *site) attempts(id string) (list []attempt) {
	s.T.Helper()
	f, err := os.Open(filepath.Join(s.Out, "attempts.log"))
	s.Must(err)
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		fields := strings.Fields(scan.Text()) // start b1.0 1 12 a 20120101
		if len(fields) < 4 || fields[0] != "start" || !strings.HasPrefix(fields[1], id+".") {
			continue
		}
		fence, err := strconv.ParseUint(fields[3], 10, 64)
		s.Must(err)
		list = append(list, attempt{fields[1], fence})
	}
	if len(list) == 0 {
		s.T.Errorf("no attempt of %s has noted its start", id)
	}
	return list
}
