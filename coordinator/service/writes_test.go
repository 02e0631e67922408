package service

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestR11_ASubmissionSentAgainGetsTheSameAnswer(t *testing.T) {
	r := newRig(t, daily("a"))
	req := backfill("a", "2021-08-23..2021-08-25")
	first, err := r.Submit(t.Context(), write("k"), req)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != "b1" || first.Name != "a_20210824_1" || first.Totals != (v1.PreviewTotals{Instances: 3, Asked: 3, DueLater: 2}) || first.Index != 2 {
		t.Errorf("%+v", first)
	}
	proposals := r.log.proposals
	if _, err := r.ApplyNodes(t.Context(), write("remove"), nil, []string{"a"}, false); err != nil {
		t.Fatal(err)
	}
	r.pass(72 * time.Hour)
	again, err := r.Submit(t.Context(), write("k"), req) // could not be made any more
	if err != nil || again == nil || !reflect.DeepEqual(*again, *first) {
		t.Errorf("got %+v %v, want %+v", again, err, first)
	}
	if r.log.proposals != proposals+1 {
		t.Errorf("%d proposals, want none for the retry", r.log.proposals-proposals-1)
	}
	other := write("k")
	other.Hash = []byte("other")
	if _, err := r.Submit(t.Context(), other, req); !fault.Is(err, fault.Conflict) {
		t.Errorf("the key with another request: %v", err)
	}
}

func TestASubmissionThatIsRefusedWritesNothing(t *testing.T) {
	r := newRig(t, daily("a"))
	r.apply(func() *wire.Node { n := daily("z"); n.Schedule.Zone = "Asia/Shanghai"; return n }())
	index := r.log.index
	for field, req := range map[string]*wire.Request{
		"root": backfill("nobody", "2021-01-01"), "dates": backfill("a", ""),
	} {
		_, err := r.Submit(t.Context(), write(field), req)
		if e, ok := err.(*fault.Error); !ok || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if r.log.index != index {
		t.Error("a refused request reached the log")
	}
	if s, err := r.Submit(t.Context(), write("z"), backfill("z", "2021-01-01")); err != nil || s.Totals.Instances != 1 {
		t.Errorf("another zone: %+v %v", s, err)
	}
}

func TestApplyNodesTellsEveryFindingAndWritesNothing(t *testing.T) {
	r := newRig(t, daily("a"))
	index := r.log.index
	bad := daily("b", up("nobody"))
	bad.Params = []*wire.Assignment{{Name: "dt", Value: "$[yyyymmdd-"}}
	_, err := r.ApplyNodes(t.Context(), write("bad"), []*wire.Node{bad, daily("c", func(n *wire.Node) { n.Retries = -1 })}, nil, false)
	e, isFault := err.(*fault.Error)
	if !isFault || e.Code != fault.Invalid || len(e.Details) < 2 || !strings.HasPrefix(e.Details[0].Field, `nodes["b"]`) {
		t.Errorf("%v", err)
	}
	got, err := r.ApplyNodes(t.Context(), write("try"), []*wire.Node{daily("a"), daily("b", up("a"))}, nil, true)
	if err != nil || !got.DryRun || !reflect.DeepEqual(got.Changes, []v1.NodeChange{{Change: v1.ChangeAdded, ID: "b"}, {Change: v1.ChangeUnchanged, ID: "a"}}) {
		t.Errorf("dry run: %+v %v", got, err)
	}
	if r.log.index != index {
		t.Error("something was written")
	}
	first, err := r.ApplyNodes(t.Context(), write("real"), []*wire.Node{daily("a"), daily("b", up("a"))}, nil, false)
	if err != nil || !reflect.DeepEqual(first.Changes, got.Changes) || first.Index != index+1 {
		t.Errorf("%+v %v", first, err)
	}
	again, err := r.ApplyNodes(t.Context(), write("real"), []*wire.Node{daily("a"), daily("b", up("a"))}, nil, false)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("again: %+v %v, want %+v", again, err, first)
	}
	record, err := r.Node(t.Context(), "a")
	if err != nil || !reflect.DeepEqual(record.Downstreams, []string{"b"}) || record.CodeVersion != 1 {
		t.Errorf("%+v %v", record, err)
	}
	if _, err := r.Node(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestR9_OperationsTellWhatTheyTouched(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-03", func(q *wire.Request) { q.Groups = 3 }))
	r.run(id, failed, 0)
	r.start(id, 2, 4)
	stop, err := r.operate("stop", operation(wire.Operate_STOP, id))
	if err != nil || stop.Instances != 2 || !stop.Stopped || stop.State != v1.StateRunning {
		t.Errorf("stop: %+v %v", stop, err)
	}
	r.finish(id, wire.Outcome_STOPPED, "", 2, 4)
	if b, _ := r.Backfill(t.Context(), id); b.Summary.State != v1.StateFailed || !b.Summary.Quiet {
		t.Errorf("stopped: %+v", b.Summary)
	}
	rerun, err := r.operate("rerun", operation(wire.Operate_RERUN, id, 0, 2, 2))
	if err != nil || rerun.Instances != 2 || rerun.State != v1.StateRunning {
		t.Errorf("rerun: %+v %v", rerun, err)
	}
	again, err := r.operate("rerun", operation(wire.Operate_RERUN, id, 0, 2, 2))
	if err != nil || *again != *rerun {
		t.Errorf("sent again: %+v %v", again, err)
	}
	failedOnes, err := r.operate("failed", operation(wire.Operate_RERUN_FAILED, id))
	if err != nil || failedOnes.Instances != 1 {
		t.Errorf("rerun of the failed: %+v %v", failedOnes, err)
	}
	if _, err := r.operate("none", operation(wire.Operate_STOP, 77)); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such backfill: %v", err)
	}
}

func TestPreviewShowsWhatWouldRun(t *testing.T) {
	a := daily("a")
	a.Baseline, a.Priority = "gold", 8
	a.Params = []*wire.Assignment{{Name: "dt", Value: "$bizdate"}}
	r := newRig(t, daily("src"), daily("ref"), a, daily("b", up("a")), daily("c", up("b"), window("src", -2, 0), up("ref")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	done := r.submit(backfill("ref", "2021-08-20..2021-08-24", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	r.run(done, ok, 0)
	r.run(done, failed, 1)
	r.submit(backfill("c", "2021-08-22", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	index := r.log.index

	req := backfill("a", "2021-08-20..2021-08-24", func(q *wire.Request) { q.Nodes, q.Groups = []string{"c"}, 2 })
	p, err := r.Preview(t.Context(), write("preview"), req, server.InstanceFilter{Nodes: server.OneNode("a")}, server.Page{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.log.index != index {
		t.Error("a preview wrote something")
	}
	if p.Name != "a_20210824_1" || p.Dates != 5 || p.Today != "2021-08-24" || p.Totals != (v1.PreviewTotals{Instances: 15, Asked: 10, Bridges: 5, DryRun: 5, DueLater: 3}) {
		t.Errorf("%s %d %s %+v", p.Name, p.Dates, p.Today, p.Totals)
	}
	wantGroups := []v1.PreviewGroup{
		{Group: 1, Dates: 3, First: "2021-08-20", Last: "2021-08-22", Instances: 9},
		{Group: 2, Dates: 2, First: "2021-08-23", Last: "2021-08-24", Instances: 6},
	}
	if !reflect.DeepEqual(p.Groups, wantGroups) {
		t.Errorf("groups %+v", p.Groups)
	}
	if b := p.Nodes[1]; b.Node != "b" || b.Chosen || b.DryRun != v1.DryRunReasonNotChosen || b.Level != 1 || b.Instances != 5 {
		t.Errorf("the bridge: %+v", b)
	}
	// a: 8 on 23 and 24, 3 on the three before; b and c: always 1.
	if want := []v1.PriorityCount{{Priority: 8, Instances: 2}, {Priority: 3, Instances: 3}, {Priority: 1, Instances: 10}}; !reflect.DeepEqual(p.Priorities, want) {
		t.Errorf("priorities %+v", p.Priorities)
	}
	if len(p.Instances) != 2 || p.Next == "" || p.Instances[1].Number != 3 || p.Instances[1].Values[0].Value != "20210821" {
		t.Errorf("instances %+v", p.Instances)
	}
	more, err := r.Preview(t.Context(), write("preview"), req, server.InstanceFilter{Nodes: server.OneNode("a")}, server.Page{Limit: 10, Cursor: p.Next})
	if err != nil || len(more.Instances) != 3 || more.Next != "" || more.Instances[0].Date != "2021-08-22" {
		t.Errorf("the next page: %+v %v", more.Instances, err)
	}
	var texts []string
	for _, w := range p.Warnings {
		texts = append(texts, w.Message)
	}
	has(t, strings.Join(texts, "\n"),
		"1 of 5 dates lie in the future",
		"b2 (c_20210824_1) has not finished b2.0 of node c on 2021-08-22",
		"upstream ref is outside the backfill and not waited for, and was never written for 2021-08-22, 2021-08-23, 2021-08-24",
		"upstream ref is outside the backfill and not waited for, and last failed for 2021-08-21",
		"upstream src is outside the backfill and not waited for, and was never written for 2021-08-18, 2021-08-19, 2021-08-20, 2021-08-21, 2021-08-22 and 2 more")
	if len(texts) != 5 {
		t.Errorf("%d warnings: %q", len(texts), texts)
	}
}

func TestR7_2_PrioritiesOfAPreviewFollowTheNodesOwnYesterday(t *testing.T) {
	far := daily("a")
	far.Baseline, far.Priority, far.Schedule.Zone = "gold", 8, "Pacific/Honolulu"
	r := newRig(t, far)
	r.pass(-6 * time.Hour) // 06:00 of the 24th in UTC, the evening of the 23rd there
	p, err := r.Preview(t.Context(), write("preview"), backfill("a", "2021-08-01..2021-08-24"), server.InstanceFilter{}, server.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := []v1.PriorityCount{{Priority: 8, Instances: 3}, {Priority: 3, Instances: 21}}; !reflect.DeepEqual(p.Priorities, want) {
		t.Errorf("got %+v, want %+v", p.Priorities, want)
	}
}
