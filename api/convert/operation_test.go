package convert_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// parsed is a message as a caller writes it.
func parsed[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestR1_3_DaysOfTheMonthAreNumbersOrLast(t *testing.T) {
	nodes := []v1.Node{parsed[v1.Node](t, `{"id":"a","schedule":{"kind":"yearly","at":"02:00","auto":true,"months":[1,12],"days":[1,31,"last"]}}`)}
	read, err := convert.ReadNodes(nodes)
	if err != nil {
		t.Fatal(err)
	}
	s := read[0].Schedule
	if !read[0].Auto || s.Months != 1<<1|1<<12 || s.Days != 1<<0|1<<1|1<<31 || s.At != 7200 {
		t.Errorf("%v", read[0])
	}
	text, err := json.Marshal(convert.Node(read[0]).Schedule)
	if err != nil || !strings.Contains(string(text), `"days":[1,31,"last"]`) || !strings.Contains(string(text), `"months":[1,12]`) {
		t.Errorf("written as %s, %v", text, err)
	}
	for _, wrong := range []string{`0`, `"first"`, `1.5`, `true`, `null`} {
		var s v1.Schedule
		if json.Unmarshal([]byte(`{"kind":"monthly","days":[`+wrong+`]}`), &s) == nil {
			t.Errorf("day %s was taken as %v", wrong, s.Days)
		}
	}
	for text, field := range map[string]string{
		`{"kind":"monthly","days":[32]}`:            `nodes["a"].schedule.days[0]`,
		`{"kind":"monthly","days":[1,-1]}`:          `nodes["a"].schedule.days[1]`,
		`{"kind":"yearly","days":[1],"months":[0]}`: `nodes["a"].schedule.months[0]`,
		`{"kind":"weekly","weekdays":["Mon"]}`:      `nodes["a"].schedule.weekdays[0]`,
		`{"kind":"fortnightly"}`:                    `nodes["a"].schedule.kind`,
	} {
		s := parsed[v1.Schedule](t, text)
		_, err := convert.ReadNodes([]v1.Node{{ID: "a", Schedule: &s}})
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, expected %s", text, err, field)
		}
	}
}

func TestR3_4_APeriodWithoutAnEndEndsAtMidnight(t *testing.T) {
	for text, want := range map[string]*wire.Period{
		`{"cycle":"daily","start":"22:00"}`:                 {Start: 22 * 3600, End: 24 * 3600},
		`{"cycle":"weekend","start":"22:00","end":"06:30"}`: {Cycle: wire.Period_WEEKEND, Start: 22 * 3600, End: 6*3600 + 1800},
	} {
		p := parsed[v1.Period](t, text)
		r, err := convert.ReadRequest(v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "a", Dates: []string{"2024-01-01"}, Period: &p})
		if err != nil || !proto.Equal(r.Period, want) {
			t.Errorf("%s: %v %v", text, r.GetPeriod(), err)
		}
	}
	for text, field := range map[string]string{
		`{"cycle":"daily","start":"24:30"}`:               "period.start",
		`{"cycle":"daily","start":"22:00","end":"later"}`: "period.end",
		`{"cycle":"monday","start":"22:00"}`:              "period.cycle",
	} {
		p := parsed[v1.Period](t, text)
		_, err := convert.ReadRequest(v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "a", Dates: []string{"2024-01-01"}, Period: &p})
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, expected %s", text, err, field)
		}
	}
}

func TestR9_AnEditSaysWhatItChanges(t *testing.T) {
	groups, most, none, by := int32(4), int32(0), "", int32(5)
	edit, err := convert.ReadEdit(12, parsed[v1.BackfillEdit](t, `{"groups":4,"maxRunning":0,"resourceGroup":"","priority":5,
		"period":{"cycle":"daily","start":"01:00","end":"02:00"},"addDates":["2024-01-01..2024-01-03","2024-02-01"],"dropDates":["2024-03-01"],
		"addNodes":["x"],"dropNodes":["y","z"],"why":"the source was late"}`))
	want := &wire.EditPlan{
		Plan: 12, Groups: &groups, MaxRunning: &most, ResourceGroup: &none, Priority: &by, Period: &wire.Period{Start: 3600, End: 7200},
		AddDates: []*wire.DateRange{{From: 19723, To: 19725}, {From: 19754, To: 19754}}, DropDates: []*wire.DateRange{{From: 19783, To: 19783}},
		AddNodes: []string{"x"}, DropNodes: []string{"y", "z"},
	}
	if err != nil || !proto.Equal(edit, want) {
		t.Errorf("%v\n%v\n%v", err, edit, want)
	}
	for text, says := range map[string]string{
		`{}`:              "the change is empty",
		`{"why":"so"}`:    "the change is empty",
		`{"groups":-1}`:   "groups",
		`{"priority":-2}`: "priority",
		`{"anyTime":true,"period":{"cycle":"daily","start":"01:00"}}`: "anyTime",
		`{"addDates":["2024-02-30"]}`:                                 "addDates[0]",
		`{"dropDates":["2024-01-01","2024-01-03..2024-01-02"]}`:       "dropDates[1]",
	} {
		_, err := convert.ReadEdit(12, parsed[v1.BackfillEdit](t, text))
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, expected %s", text, err, says)
		}
	}
}

// TestR9_EveryOperationHasAWord holds the API's words against the model's
// kinds: none is forgotten, and a line of the log says what was done.
func TestR9_EveryOperationHasAWord(t *testing.T) {
	seen := map[v1.OperationKind]bool{}
	for number := range wire.Operate_Kind_name {
		kind := wire.Operate_Kind(number)
		if kind == wire.Operate_KIND_UNSPECIFIED {
			continue
		}
		word := convert.OperationKind(&wire.Operation{Kind: kind})
		if !word.Valid() || seen[word] {
			t.Errorf("%s is %q", kind, word)
		}
		seen[word] = true
		ofBackfills, errBackfills := convert.ReadBackfillOperation(v1.BackfillOperation(word))
		ofInstances, errInstances := convert.ReadInstanceOperation(v1.InstanceOperation(word))
		if errBackfills != nil && errInstances != nil || errBackfills == nil && ofBackfills != kind || errInstances == nil && ofInstances != kind {
			t.Errorf("%s is read as %s (%v) and %s (%v)", word, ofBackfills, errBackfills, ofInstances, errInstances)
		}
	}
	o := convert.Operation(7, &wire.Operation{
		Number: 3, AtMs: 1_700_000_000_000, Actor: "ada", Why: "late", Edit: true, Count: 5, Instances: []uint64{1, 2},
		Dates: []*wire.DateRange{{From: 19723, To: 19725}}, Detail: "groups: 1 → 4",
	})
	text, err := json.Marshal(o)
	want := `{"actor":"ada","at":"2023-11-14T22:13:20Z","count":5,"dates":["2024-01-01..2024-01-03"],"detail":"groups: 1 → 4",` +
		`"instances":["b7.1","b7.2"],"number":3,"operation":"edit","why":"late"}`
	if err != nil || string(text) != want {
		t.Errorf("%s\n%s", text, want)
	}
}

func TestDescendantsAreAllOrAList(t *testing.T) {
	for text, want := range map[string]v1.DescendantSet{`"all"`: {All: true}, `["b1.2"]`: {IDs: []string{"b1.2"}}, `[]`: {}} {
		got := parsed[v1.DescendantSet](t, text)
		back, err := json.Marshal(got)
		if err != nil || string(back) != text || got.All != want.All || len(got.IDs) != len(want.IDs) {
			t.Errorf("%s became %+v and %s, %v", text, got, back, err)
		}
	}
	for _, wrong := range []string{`"some"`, `{}`, `3`, `[3]`} {
		var s v1.DescendantSet
		if json.Unmarshal([]byte(wrong), &s) == nil {
			t.Errorf("%s was taken as %+v", wrong, s)
		}
	}
}

func TestSettingsGoThereAndBack(t *testing.T) {
	off := false
	g, err := convert.ReadResourceGroup("etl", v1.ResourceGroupSettings{
		Kind: v1.ResourceGroupKindExclusive, ReserveForAuto: 2, BackfillMaxShare: 50, Description: "nightly", LogKeepMs: 86_400_000,
	})
	if err != nil || !proto.Equal(g, &wire.PutResourceGroup{
		Name: "etl", Kind: wire.PutResourceGroup_EXCLUSIVE, ReserveForAuto: 2, BackfillMaxShare: 50, Description: "nightly", LogKeepMs: 86_400_000,
	}) {
		t.Errorf("%v %v", g, err)
	}
	shown := convert.ResourceGroup(g)
	if shown.Kind != v1.ResourceGroupKindExclusive || shown.ReserveForAuto != 2 || shown.BackfillMaxShare != 50 || shown.Description != "nightly" || shown.LogKeepMs != 86_400_000 {
		t.Errorf("%+v", shown)
	}
	w, err := convert.ReadWorkspace("shop", v1.WorkspaceSettings{Name: "Shop", AdvancedMode: &off})
	if err != nil || !proto.Equal(w, &wire.PutWorkspace{Id: "shop", Name: "Shop", Region: "default", AdvancedMode: &off}) {
		t.Errorf("%v %v", w, err)
	}
	r, err := convert.ReadRegion("eu", v1.RegionSettings{})
	if err != nil || !r.AdvancedMode {
		t.Errorf("advanced mode is on by default: %v %v", r, err)
	}
	for field, err := range map[string]error{
		"backfillMaxShare": second(convert.ReadResourceGroup("etl", v1.ResourceGroupSettings{BackfillMaxShare: 101})),
		"logKeepMs":        second(convert.ReadResourceGroup("etl", v1.ResourceGroupSettings{LogKeepMs: -1})),
		"description":      second(convert.ReadResourceGroup("etl", v1.ResourceGroupSettings{Description: strings.Repeat("x", 1001)})),
		"kind":             second(convert.ReadResourceGroup("etl", v1.ResourceGroupSettings{Kind: "private"})),
		"resourceGroup":    second(convert.ReadResourceGroup("two words", v1.ResourceGroupSettings{})),
		"workspace":        second(convert.ReadWorkspace("", v1.WorkspaceSettings{})),
		"region":           second(convert.ReadRegion(strings.Repeat("x", 101), v1.RegionSettings{})),
	} {
		if fault.CodeOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
