package convert_test

import (
	"encoding/json"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// throughJSON is what a message becomes on its way.
func throughJSON[T any](t interface{ Fatal(...any) }, v T) T {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

var (
	text  = rapid.StringMatching(`[a-zA-Z0-9 äß$\{\}"\n_-]{0,12}`)
	clock = rapid.Int32Range(0, 86399)
	day   = rapid.Int32Range(-700000, 2900000)
)

func assignments(t *rapid.T, label string) []*wire.Assignment {
	var list []*wire.Assignment
	for range rapid.IntRange(0, 3).Draw(t, label) {
		list = append(list, &wire.Assignment{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")})
	}
	return list
}

func drawSubscriptions(t *rapid.T) []*wire.Subscription {
	var list []*wire.Subscription
	for range rapid.IntRange(0, 2).Draw(t, "subscriptions") {
		s := &wire.Subscription{Channel: text.Draw(t, "channel")}
		for range rapid.IntRange(0, 2).Draw(t, "occasions") {
			s.On = append(s.On, wire.Occasion(rapid.Int32Range(1, 4).Draw(t, "occasion")))
		}
		list = append(list, s)
	}
	return list
}

func drawSchedule(t *rapid.T) *wire.Schedule {
	s := &wire.Schedule{Kind: wire.Schedule_Kind(rapid.Int32Range(1, 6).Draw(t, "kind")), Zone: text.Draw(t, "zone")}
	switch s.Kind {
	case wire.Schedule_HOURLY, wire.Schedule_MINUTELY:
		s.From, s.To, s.Every = clock.Draw(t, "from"), clock.Draw(t, "to"), rapid.Int32Range(1, 1440).Draw(t, "every")
		return s
	case wire.Schedule_WEEKLY:
		s.Weekdays = rapid.Uint32Range(0, 1<<7-1).Draw(t, "weekdays")
	case wire.Schedule_YEARLY:
		s.Months = rapid.Uint32Range(0, 1<<12-1).Draw(t, "months") << 1
		s.Days = rapid.Uint32().Draw(t, "days of a year")
	case wire.Schedule_MONTHLY:
		s.Days = rapid.Uint32().Draw(t, "days")
	}
	s.At = clock.Draw(t, "at")
	return s
}

func drawNode(t *rapid.T) *wire.Node {
	n := &wire.Node{
		Id: text.Draw(t, "id"), Name: text.Draw(t, "n"), Workspace: text.Draw(t, "w"), Owner: text.Draw(t, "o"), Type: text.Draw(t, "t"),
		Description: text.Draw(t, "d"), Dialect: text.Draw(t, "dialect"), Params: assignments(t, "params"), Schedule: drawSchedule(t),
		Baseline: text.Draw(t, "b"), Priority: rapid.Int32().Draw(t, "p"), ResourceGroup: text.Draw(t, "g"),
		DependsOnSelf: rapid.Bool().Draw(t, "self"), TimeoutMs: rapid.Int64().Draw(t, "timeout"), Retries: rapid.Int32().Draw(t, "retries"),
		RetryDelayMs: rapid.Int64().Draw(t, "delay"), Environment: assignments(t, "env"), Code: text.Draw(t, "code"),
		Auto: rapid.Bool().Draw(t, "auto"), Mode: wire.Node_Mode(rapid.Int32Range(0, 2).Draw(t, "mode")),
		DependsOnChildren: rapid.Bool().Draw(t, "children"), Notify: drawSubscriptions(t),
	}
	drawAttempt(t, n)
	for range rapid.IntRange(0, 3).Draw(t, "upstreams") {
		u := &wire.Upstream{Node: text.Draw(t, "upstream"), Window: rapid.Bool().Draw(t, "window"), Previous: rapid.Bool().Draw(t, "previous")}
		if u.Window {
			u.To = rapid.Int32().Draw(t, "to")
			if u.FromMonthStart = rapid.Bool().Draw(t, "month"); !u.FromMonthStart {
				u.From = rapid.Int32().Draw(t, "from")
			}
		}
		n.Upstreams = append(n.Upstreams, u)
	}
	return n
}

// drawAttempt draws what a node says of its attempts.
func drawAttempt(t *rapid.T, n *wire.Node) {
	n.Requires, n.Slots, n.User = assignments(t, "requires"), uint32(rapid.Int32Range(0, 1<<31-1).Draw(t, "slots")), text.Draw(t, "user")
	if rapid.Bool().Draw(t, "limits") {
		n.Limits = &wire.Limits{
			MemoryBytes: rapid.Int64().Draw(t, "memory"), CpuMilli: rapid.Int32().Draw(t, "cpu"), Processes: rapid.Int32().Draw(t, "processes"),
			OpenFiles: rapid.Int32().Draw(t, "files"), CoreBytes: rapid.Int64().Draw(t, "core"), Nice: rapid.Int32().Draw(t, "nice"),
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "exit codes") {
		n.ExitCodes = append(n.ExitCodes, &wire.ExitCode{Code: rapid.Int32().Draw(t, "exit code"), Meaning: wire.ExitCode_Meaning(rapid.Int32Range(0, 2).Draw(t, "meaning"))})
		n.Secrets = append(n.Secrets, text.Draw(t, "secret"))
	}
}

func TestNodesGoThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		back, err := convert.ReadNodes([]v1.Node{throughJSON(t, convert.Node(n))})
		if err != nil || !proto.Equal(back[0], n) {
			t.Fatalf("%v\n%v\n%v", err, n, back)
		}
	})
}

func drawPeriod(t *rapid.T) *wire.Period {
	if !rapid.Bool().Draw(t, "period") {
		return nil
	}
	p := &wire.Period{Cycle: wire.Period_Cycle(rapid.Int32Range(0, 1).Draw(t, "cycle")), Start: clock.Draw(t, "start"), End: 24 * 60 * 60}
	if rapid.Bool().Draw(t, "ends before midnight") {
		p.End = clock.Draw(t, "end of period")
	}
	return p
}

func drawRequest(t *rapid.T) *wire.Request {
	r := &wire.Request{
		Mode: wire.Request_Mode(rapid.Int32Range(1, 5).Draw(t, "mode")), Root: text.Draw(t, "root"), WithoutRoot: rapid.Bool().Draw(t, "without"),
		NameFilter: text.Draw(t, "filter"), MaxLevel: rapid.Int32().Draw(t, "level"), Groups: rapid.Int32().Draw(t, "groups"),
		Order: wire.Request_Order(rapid.Int32Range(0, 1).Draw(t, "order")), Gate: wire.Request_Gate(rapid.Int32Range(0, 2).Draw(t, "gate")),
		OnFailure: wire.Request_OnFailure(rapid.Int32Range(0, 1).Draw(t, "failure")), StopAfter: rapid.Int32().Draw(t, "stop"),
		MaxRunning: rapid.Int32().Draw(t, "max"), RunFutureEarly: rapid.Bool().Draw(t, "early"), DryRun: rapid.Bool().Draw(t, "dry"),
		PinCode: rapid.Bool().Draw(t, "pin"), Name: text.Draw(t, "name"), ResourceGroup: text.Draw(t, "group"),
		Overlap: wire.Request_Overlap(rapid.Int32Range(0, 1).Draw(t, "overlap")), NotBeforeMs: rapid.Int64Range(0, 1<<42).Draw(t, "before"),
		End: text.Draw(t, "end"), OnConflict: wire.Request_OnConflict(rapid.Int32Range(0, 2).Draw(t, "conflict")), Zone: text.Draw(t, "zone"),
		PausedNodes: wire.Request_Switch(rapid.Int32Range(0, 1).Draw(t, "paused")), Priority: rapid.Int32().Draw(t, "priority"),
		DryRunNodes: wire.Request_Switch(rapid.Int32Range(0, 1).Draw(t, "dry nodes")), Period: drawPeriod(t), Notify: drawSubscriptions(t),
	}
	for range rapid.IntRange(0, 3).Draw(t, "filters") {
		r.Filters = append(r.Filters, &wire.NodeFilter{
			Workspace: text.Draw(t, "fw"), Owner: text.Draw(t, "fo"), Priority: rapid.Int32().Draw(t, "fp"), Name: text.Draw(t, "fn"),
			Id: text.Draw(t, "fi"), Type: text.Draw(t, "ft"), ResourceGroup: text.Draw(t, "fg"),
		})
		r.Workspaces = append(r.Workspaces, text.Draw(t, "in"))
		r.Whitelist = append(r.Whitelist, text.Draw(t, "white"))
		r.Blacklist = append(r.Blacklist, text.Draw(t, "black"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "dates") {
		from := day.Draw(t, "first")
		r.Dates = append(r.Dates, &wire.DateRange{From: from, To: min(2932896, from+rapid.Int32Range(0, 900).Draw(t, "length"))})
	}
	for _, a := range assignments(t, "overrides") {
		r.Params = append(r.Params, &wire.Override{Node: text.Draw(t, "of"), Param: a})
		r.Nodes = append(r.Nodes, a.Name)
	}
	for range rapid.IntRange(0, 2).Draw(t, "choices of fields") {
		c := &wire.FieldChoice{Node: text.Draw(t, "table")}
		for range rapid.IntRange(0, 2).Draw(t, "fields") {
			c.Fields = append(c.Fields, text.Draw(t, "field"))
		}
		r.Fields = append(r.Fields, c)
	}
	if rapid.Bool().Draw(t, "part of the day") {
		r.TimeOfDay = &wire.TimeRange{From: clock.Draw(t, "from"), To: clock.Draw(t, "to")}
	}
	return r
}

func TestRequestsGoThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		back, err := convert.ReadRequest(throughJSON(t, convert.Request(r)))
		if err != nil || !proto.Equal(back, r) {
			t.Fatalf("%v\n%v\n%v", err, r, back)
		}
	})
}

func TestDataSourcesGoThereAndBack(t *testing.T) {
	secret := func(t *rapid.T, label string) *wire.Secret {
		if !rapid.Bool().Draw(t, label) {
			return nil
		}
		return &wire.Secret{Environment: text.Draw(t, "variable"), File: text.Draw(t, "file")}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := &wire.DataSource{
			Name: text.Draw(t, "name"), Type: text.Draw(t, "type"), Description: text.Draw(t, "d"), Host: text.Draw(t, "h"), Port: rapid.Int32().Draw(t, "port"),
			Database: text.Draw(t, "db"), User: text.Draw(t, "u"), Password: secret(t, "password"), Tls: text.Draw(t, "tls"), Ca: secret(t, "ca"),
			Options: assignments(t, "options"), ResourceGroups: rapid.SliceOfN(text, 0, 3).Draw(t, "groups"),
		}
		back, err := convert.ReadDataSource(d.Name, throughJSON(t, convert.DataSourceSettings(d)))
		if err != nil || !proto.Equal(back, d) {
			t.Fatalf("%v\n%v\n%v", err, d, back)
		}
		shown := throughJSON(t, convert.DataSource(d))
		if shown.Name != d.Name || shown.Database != d.Database || (shown.Password == nil) != (d.Password == nil) {
			t.Fatalf("%v is shown as %+v", d, shown)
		}
	})
}

// TestNoFieldIsForgotten fails when the model grows a field that these
// conversions do not know.
func TestNoFieldIsForgotten(t *testing.T) {
	for _, one := range []struct {
		message protoreflect.ProtoMessage
		fields  int
	}{
		{&wire.Node{}, 36}, {&wire.Limits{}, 6}, {&wire.ExitCode{}, 2}, {&wire.Assignment{}, 2}, {&wire.Schedule{}, 9}, {&wire.Upstream{}, 7}, {&wire.Request{}, 35}, {&wire.Subscription{}, 2}, {&wire.FieldChoice{}, 2},
		{&wire.DateRange{}, 2}, {&wire.TimeRange{}, 2}, {&wire.Override{}, 2}, {&wire.NodeFilter{}, 7}, {&wire.Period{}, 3},
		{&wire.EditPlan{}, 16}, {&wire.Operation{}, 10}, {&wire.PutResourceGroup{}, 6}, {&wire.PutWorkspace{}, 4}, {&wire.PutRegion{}, 2},
		{&wire.DataSource{}, 12}, {&wire.Secret{}, 2},
		{&wire.Python{}, 3}, {&wire.Sql{}, 2}, {&wire.Http{}, 9}, {&wire.Check{}, 6}, {&wire.Integration{}, 6}, {&wire.IntegrationSource{}, 8},
		{&wire.IntegrationTarget{}, 6}, {&wire.Column{}, 5}, {&wire.Logical{}, 6}, {&wire.LogicalField{}, 4}, {&wire.Unit{}, 4},
	} {
		if d := one.message.ProtoReflect().Descriptor(); d.Fields().Len() != one.fields {
			t.Errorf("%s has %d fields, %d are converted: add the others here, in openapi.yaml and in the draws above", d.Name(), d.Fields().Len(), one.fields)
		}
	}
}

func TestIDs(t *testing.T) {
	if p, err := convert.ParsePlanID(convert.PlanID(12)); err != nil || p != 12 {
		t.Error(p, err)
	}
	if p, n, err := convert.ParseInstanceID(convert.InstanceID(12, 0)); err != nil || p != 12 || n != 0 {
		t.Error(p, n, err)
	}
	for _, wrong := range []string{"", "b", "12", "b0", "b012", "b1.2", "B1", "b-1", "b99999999999999999999"} {
		if _, err := convert.ParsePlanID(wrong); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, wrong := range []string{"", "b1", "b1.", "b1.01", "b1.2.3", "1.2", "b1.-2"} {
		if _, _, err := convert.ParseInstanceID(wrong); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestProblemsGoThereAndBack(t *testing.T) {
	for code := range map[fault.Code]bool{fault.Invalid: true, fault.Unknown: true, fault.Corrupt: true, fault.Overloaded: true} {
		e := fault.New(code, "a %s", "b").WithDetails(fault.Detail{Field: "f", Where: "w", Message: "m"})
		e.Field, e.Err = "root", errors.New("secret")
		back := convert.ReadProblem(throughJSON(t, convert.Problem(e, "r")))
		e.Err = nil
		if back.Error() != e.Error() || back.Code != e.Code || back.Field != e.Field {
			t.Errorf("%v became %v", e, back)
		}
	}
	if back := convert.ReadProblem(v1.Problem{Code: "newer", Detail: "d"}); back.Code != fault.Internal || back.Message != "d" {
		t.Errorf("%+v", back)
	}
}
