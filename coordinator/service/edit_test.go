package service

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func dates(text string) []*wire.DateRange { return backfill("", text).Dates }

func TestR9_AnEditShowsItsDifferenceFirst(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")), daily("c", up("b")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-04", func(q *wire.Request) { q.Nodes = []string{"b"}; q.Groups = 2 }))
	r.submit(backfill("a", "2021-01-05", func(q *wire.Request) { q.Name = "other" }))
	r.run(id, ok, 0)
	groups, most, priority := int32(3), int32(2), int32(7)
	edit := func() *wire.EditPlan {
		return &wire.EditPlan{
			Plan: id, Groups: &groups, MaxRunning: &most, Priority: &priority, AddDates: dates("2021-01-05"), DropDates: dates("2021-01-01 2021-01-02"),
			AddNodes: []string{"c"},
		}
	}
	index := r.log.index
	want, err := r.Edit(t.Context(), write("edit"), edit(), true)
	if err != nil {
		t.Fatal(err)
	}
	if r.log.index != index || want.Applied || want.Index != index {
		t.Error("a dry run wrote something, or says so")
	}
	// Of the first two dates a has run once: the other three wait. The fifth
	// date brings three, and c two for the dates that stay.
	if want.AddedInstances != 5 || want.DroppedInstances != 3 {
		t.Errorf("added %d, dropped %d", want.AddedInstances, want.DroppedInstances)
	}
	changes := map[string][2]string{}
	for _, c := range want.Changes {
		changes[c.Field] = [2]string{c.Before, c.After}
	}
	if !reflect.DeepEqual(changes, map[string][2]string{
		"groups": {"2", "3"}, "maxRunning": {"0", "2"}, "priority": {"0", "7"},
		"dates": {"group 1: 2021-01-01 to 2021-01-02 (2 dates); group 2: 2021-01-03 to 2021-01-04 (2 dates)",
			"group 1: 2021-01-01 to 2021-01-02 (2 dates); group 2: 2021-01-03 to 2021-01-04 (2 dates); group 3: 2021-01-05; 2 dates dropped"},
		"nodes": {"a, b", "a, b, c"},
	}) {
		t.Errorf("changes: %q", changes)
	}
	if !slices.ContainsFunc(want.Warnings, func(w v1.Warning) bool { return w.Code == "overlap" && strings.Contains(w.Message, "b2 (other)") }) {
		t.Errorf("warnings: %+v", want.Warnings)
	}

	got, err := r.Edit(t.Context(), write("edit"), edit(), false)
	if err != nil || !got.Applied || got.Index != r.log.index {
		t.Fatalf("%+v %v", got, err)
	}
	got.Applied, got.Index, want.Index = false, 0, 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("applied: %+v\nshown:   %+v", got, want)
	}
	p, _ := r.m.State().Plan(id)
	if p.Size() != 13 || int(p.Request.Groups) != 3 {
		t.Errorf("%d instances in %d groups", p.Size(), p.Request.Groups)
	}
	list, _, err := r.Instances(t.Context(), id, server.InstanceFilter{}, server.Page{Limit: 100})
	if err != nil || len(list) != 13 {
		t.Fatalf("%d instances: %v", len(list), err)
	}
	for i, one := range list {
		dropped := one.Date <= "2021-01-02" && i != 0
		if (one.DryRun == v1.DryRunReasonDropped) != dropped || one.ID != r.detail(id, uint64(i)).Instance.ID {
			t.Errorf("%d: %+v", i, one)
		}
	}
	for _, f := range []server.InstanceFilter{{}, {Nodes: server.OneNode("c")}, {Nodes: server.OneNode("a"), From: ref("2021-01-02")}, {From: ref("2021-01-02"), To: ref("2021-01-03")}} {
		var want, got []string
		for _, one := range list {
			if d := date(one.Date); (f.Nodes == nil || f.Nodes.IDs[0] == one.Node) && within(d, f.From, f.To) {
				want = append(want, one.ID)
			}
		}
		for next, more := "", true; more; more = next != "" {
			page, after, err := r.Instances(t.Context(), id, f, server.Page{Limit: 2, Cursor: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range page {
				got = append(got, one.ID)
			}
			next = after
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v, by pages: got %v, want %v", f, got, want)
		}
	}
	index = r.log.index
	again, err := r.Edit(t.Context(), write("edit"), edit(), false)
	if err != nil || !again.Applied || again.Index != index || r.log.index != index || len(again.Changes) == 0 {
		t.Errorf("sent again: %+v %v", again, err)
	}
	ops, _, _ := r.Operations(t.Context(), id, server.Page{Limit: 9})
	if len(ops) != 1 || ops[0].Operation != v1.OperationKindEdit || ops[0].Detail == "" {
		t.Errorf("the log: %+v", ops)
	}
}

func TestR13_6_ReceiptAddsUpAfterAnEdit(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")), daily("c", up("b")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-04", func(q *wire.Request) { q.Nodes = []string{"b"} }))
	r.run(id, ok, 0)
	r.do(operation(wire.Operate_FREEZE, id, 3))
	if _, err := r.Edit(t.Context(), write("edit"), &wire.EditPlan{
		Plan: id, DropDates: dates("2021-01-01"), AddDates: dates("2021-01-09"), AddNodes: []string{"c"},
	}, false); err != nil {
		t.Fatal(err)
	}
	r.turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: id, Instances: []uint64{1}}}})
	p, _ := r.m.State().Plan(id)
	for _, by := range []v1.ReceiptBy{v1.ReceiptByNode, v1.ReceiptByDate, v1.ReceiptByNodeAndDate} {
		got, err := r.Receipt(t.Context(), id, by, server.InstanceFilter{}, server.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var sum v1.ReceiptTotals
		for _, row := range got.Rows {
			balanced(t, row.Totals)
			reasonsCover(t, row)
			sum = add(sum, row.Totals)
		}
		if sum != got.Totals || sum.Generated != int64(p.Size()) || sum.Frozen != 1 || sum.DryRun != 1 || sum.Succeeded != 1 {
			t.Errorf("%s: %+v, totals %+v", by, sum, got.Totals)
		}
	}
	got, _ := r.Receipt(t.Context(), id, v1.ReceiptByDate, server.InstanceFilter{To: ref("2021-01-01")}, server.Page{Limit: 1})
	if reasons := got.Rows[0].Reasons; len(reasons) != 1 || reasons[0].Text != "dry run: its date or node was dropped from the running backfill" {
		t.Errorf("reasons: %+v", reasons)
	}
}

func TestR9_AnEditThatIsRefusedChangesNothing(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	id := r.submit(backfill("a", "2021-01-01..2021-01-04"))
	many, none := int32(11), int32(0)
	index := r.log.index
	for name, e := range map[string]*wire.EditPlan{
		"groups":      {Plan: id, Groups: &many},
		"no group":    {Plan: id, Groups: &none},
		"dropDates":   {Plan: id, DropDates: dates("2021-01-01..2021-01-04")},
		"not in it":   {Plan: id, DropDates: dates("2022-01-01")},
		"nodes":       {Plan: id, AddNodes: []string{"nobody"}},
		"no such":     {Plan: 77, Groups: &none},
		"no change":   {Plan: id},
		"not allowed": {Plan: id, AddNodes: []string{"b"}},
	} {
		for _, dryRun := range []bool{true, false} {
			if _, err := r.Edit(t.Context(), write(name), e, dryRun); fault.CodeOf(err) == "" || fault.Is(err, fault.Internal) {
				t.Errorf("%s, dry run %v: %v", name, dryRun, err)
			}
		}
	}
	if r.log.index != index {
		t.Error("a refused edit reached the log")
	}
	auto := daily("z")
	auto.Auto = true
	r.apply(auto)
	day := r.generate("2021-08-24")
	if _, err := r.Edit(t.Context(), write("day"), &wire.EditPlan{Plan: day, Groups: &none}, true); fault.CodeOf(err) == "" {
		t.Error("a day of the schedule was changed")
	}
}

func TestR2_9_AnEditMayNotAddWhatTheUserMayNotRun(t *testing.T) {
	a, b := daily("a"), daily("b", up("a"))
	a.Workspace, b.Workspace = "mine", "theirs"
	r := newRig(t, a, b)
	mine := func(key string) server.Write {
		w := write(key)
		w.Restricted, w.Workspaces = true, []string{"mine"}
		return w
	}
	if _, err := r.Submit(t.Context(), mine("chosen"), backfill("a", "2021-01-01", func(q *wire.Request) { q.Nodes = []string{"b"} })); !fault.Is(err, fault.Denied) {
		t.Errorf("a submission of b: %v", err)
	}
	if got, err := r.Submit(t.Context(), mine("a"), backfill("a", "2021-01-01", func(q *wire.Request) { q.Mode = wire.Request_CURRENT })); err != nil || got.ID != "b1" {
		t.Fatal(got, err)
	}
	if _, err := r.Edit(t.Context(), mine("edit"), &wire.EditPlan{Plan: 1, AddNodes: []string{"b"}}, false); !fault.Is(err, fault.Denied) {
		t.Errorf("an edit that adds b: %v", err)
	}
}

func TestR4_1_TheMostGroupsAreASetting(t *testing.T) {
	r := newRig(t, daily("a"))
	req := func(groups int32) *wire.Request {
		return backfill("a", "2021-01-01..2021-01-31", func(q *wire.Request) { q.Groups = groups })
	}
	eleven, twelve, thirteen := int32(11), int32(12), int32(13)
	if _, err := r.Submit(t.Context(), write("eleven"), req(eleven)); !fault.Is(err, fault.Invalid) {
		t.Errorf("11 groups where 10 are the most: %v", err)
	}
	r.MaxGroups = twelve
	if _, err := r.Submit(t.Context(), write("twelve"), req(eleven)); err != nil {
		t.Error(err)
	}
	if _, err := r.Submit(t.Context(), write("thirteen"), req(thirteen)); !fault.Is(err, fault.Invalid) {
		t.Errorf("13 groups where 12 are the most: %v", err)
	}
	if _, err := r.Edit(t.Context(), write("edit"), &wire.EditPlan{Plan: 1, Groups: &twelve}, false); err != nil {
		t.Error(err)
	}
	if _, err := r.Edit(t.Context(), write("too many"), &wire.EditPlan{Plan: 1, Groups: &thirteen}, false); !fault.Is(err, fault.Invalid) {
		t.Errorf("13 groups by an edit: %v", err)
	}
}
