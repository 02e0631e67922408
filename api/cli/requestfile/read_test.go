package requestfile

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"backfleet/api"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func one(t *testing.T, text string) *File {
	t.Helper()
	files, err := Read("a.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Fatalf("%d requests", len(files))
	}
	return files[0]
}

// everything is a request in which every field is set.
func everything() v1.BackfillRequest {
	at := time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)
	return v1.BackfillRequest{
		Name: "orders: January", Mode: v1.ModeMassive, Root: "orders", End: "report", Nodes: []string{"a", "007"},
		Filters:    []v1.NodeSelector{{Workspace: "w", Owner: "ada", Priority: 3, Name: "n", ID: "i", Type: "shell", ResourceGroup: "g"}},
		Workspaces: []string{"w"}, Whitelist: []string{"x"}, Blacklist: []string{"y"}, WithoutRoot: true, NameFilter: "true", MaxLevel: 2,
		Dates: []string{"2024-01-01..2024-01-31", "2024-02-29"}, TimeOfDay: &v1.TimeRange{From: "00:00", To: "06:00"}, Groups: 4,
		Order: v1.OrderDescending, Gate: v1.GateNode, OnFailure: v1.OnFailureContinue, StopAfter: 5, MaxRunning: 6, RunFutureEarly: true, DryRun: true,
		PinCode: true, ResourceGroup: "etl", Params: []v1.ParamOverride{{Node: "orders", Name: "day", Value: "007"}, {Node: "orders", Name: "text", Value: "a\nb"}},
		Overlap: v1.OverlapRefuse, NotBefore: &at, OnConflict: v1.OnConflictWait, Period: &v1.Period{Cycle: v1.PeriodCycleDaily, Start: "22:00", End: "06:00"},
		Zone: "Europe/Berlin", PausedNodes: v1.NodeSwitchKeep, DryRunNodes: v1.NodeSwitchKeep, Priority: 8,
		Fields: []v1.FieldChoice{{Node: "dim", Fields: []string{"level"}}},
		Notify: []v1.Subscription{{Channel: "ops", On: []v1.Occasion{v1.OccasionStuck, v1.OccasionFailure}}, {Channel: "team"}},
	}
}

func TestWhatIsWrittenReadsAsTheSame(t *testing.T) {
	want := everything()
	for _, f := range reflect.VisibleFields(reflect.TypeOf(want)) {
		if reflect.ValueOf(want).FieldByIndex(f.Index).IsZero() {
			t.Errorf("%s is not set here: the test is to cover it", f.Name)
		}
	}
	text, err := Write(want, "Exported from b12.\nBy ada.")
	if err != nil {
		t.Fatal(err)
	}
	if got := one(t, string(text)).Request; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nfrom %s", got, text)
	}
	for _, want := range []string{"# Exported from b12.\n# By ada.\nname: ", "\n  - 2024-01-01..2024-01-31\n", "\ngroups: 4\n", "\nwithoutRoot: true\n", `value: "007"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestExampleShowsEveryField(t *testing.T) {
	if r := one(t, string(Example)).Request; r.Root != "dwd_orders" || len(r.Dates) != 2 {
		t.Errorf("%+v", r)
	}
	form, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range form.Properties.names() {
		if !strings.Contains("\n"+string(Example), "\n"+name+":") && !strings.Contains(string(Example), "\n# "+name+":") {
			t.Errorf("%s is not in the example", name)
		}
	}
	// What is commented out is right, too.
	var all []string
	for _, line := range strings.Split(string(Example), "\n") {
		bare, commented := strings.CutPrefix(line, "# ")
		field, _, found := strings.Cut(strings.TrimSpace(bare), ":")
		if commented && found && (form.Properties.find(strings.TrimPrefix(field, "- ")) != nil || strings.HasPrefix(bare, "  ")) {
			line = bare
		}
		all = append(all, line)
	}
	if r := one(t, strings.Join(all, "\n")); len(r.Request.Filters) != 1 || r.Key == "" || r.Request.NotBefore == nil || len(r.Request.Params) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestScalarsStayAsTheyAreWritten(t *testing.T) {
	r := one(t, "mode: current\nroot: 007\ndates: [2024-01-01]\nparams: [{node: a, name: b, value: 1e3}, {node: a, name: c, value: yes}, {node: a, name: d, value: true}]\nnotBefore: 2024-01-01T00:00:00+01:00\n").Request
	if r.Root != "007" || r.Dates[0] != "2024-01-01" || r.Params[0].Value != "1e3" || r.Params[1].Value != "yes" || r.Params[2].Value != "true" || r.NotBefore.UTC().Hour() != 23 {
		t.Errorf("%+v", r)
	}
}

func TestSeveralDocuments(t *testing.T) {
	files, err := Read("two.yaml", []byte("# one\n---\nmode: current\nroot: a\ndates: [2024-01-01]\nkey: k1\n---\n---\nmode: current\nroot: b\ndates: [2024-01-01]\n"))
	if err != nil || len(files) != 2 || files[0].Key != "k1" || files[1].Key != "" || files[0].Name != "two.yaml" || files[1].Name != "two.yaml:9" {
		t.Errorf("%+v %v", files, err)
	}
}

const good = "mode: current\nroot: a\ndates: [2024-01-01]\n"

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ text, where, field, message string }{
		{"", "", "", "holds no request"},
		{"# nothing\n", "", "", "holds no request"},
		{good + "maxRuning: 3\n", "a.yaml:4:1", "maxRuning", `there is no such field (did you mean "maxRunning"?): expected those of a request, such as mode, root and dates`},
		{good + "period: {cycle: daily, begin: 22:00}\n", "a.yaml:4:24", "period.begin", "there is no such field"},
		{good + "period: {cycle: daily}\n", "a.yaml:4:9", "period.start", "it is missing: expected wall-clock time, hh:mm or hh:mm:ss"},
		{good + "period: {cycle: daily, start: \"22\"}\n", "a.yaml:4:31", "period.start", `"22": expected wall-clock time, hh:mm or hh:mm:ss`},
		{good + "period: {cycle: weekly, start: 22:00}\n", "a.yaml:4:17", "period.cycle", `"weekly" is not known here`},
		{good + "period: daily\n", "a.yaml:4:9", "period", `"daily": expected fields (cycle, start or end)`},
		{good + "groups: many\n", "a.yaml:4:9", "groups", `"many": expected a whole number from 0 to 10`},
		{good + "groups: 11\n", "a.yaml:4:9", "groups", `"11": expected a whole number from 0 to 10`},
		{good + "stopAfter: -1\n", "a.yaml:4:12", "stopAfter", `"-1": expected a whole number from 0 on`},
		{good + "stopAfter: 4294967296\n", "a.yaml:4:12", "stopAfter", "expected a whole number"},
		{good + "dryRun: yes\n", "a.yaml:4:9", "dryRun", `"yes": expected true or false`},
		{good + "gate: days\n", "a.yaml:4:7", "gate", `"days" is not known here (did you mean "day"?): expected day, node or none`},
		{good + "nodes: a\n", "a.yaml:4:8", "nodes", `"a": expected a list of a text`},
		{good + "nodes: [{a: b}]\n", "a.yaml:4:9", "nodes[0]", "fields are given: expected a text"},
		{good + "zone:\n", "a.yaml:4:6", "zone", "it has no value"},
		{good + "root: b\n", "a.yaml:4:1", "root", "it is given twice"},
		{good + "end: &x b\n", "a.yaml:4:6", "end", "anchors and aliases"},
		{good + "end: !!str b\n", "a.yaml:4:6", "end", "tags such as !!str"},
		{good + "? [a]\n: b\n", "a.yaml:4:3", "", "expected the name of a field"},
		{good + "notBefore: 2024-01-01\n", "a.yaml:4:12", "notBefore", `"2024-01-01": expected a moment such as 2026-01-31T22:00:00Z`},
		{good + "key: a b\n", "a.yaml:4:6", "key", "expected visible ASCII"},
		{good + "key: \"\"\n", "a.yaml:4:6", "key", "at most 200 characters"},
		{"root: a\ndates: []\nmode: current\n", "a.yaml:2:8", "dates", "it has 0: expected at least 1"},
		{"root: a\ndates: [2024-02-30]\nmode: current\n", "a.yaml:2:9", "dates[0]", "no such day"},
		{"root: a\ndates: [2024-02]\nmode: current\n", "a.yaml:2:9", "dates[0]", "expected one like 2012-01-01..2015-12-31 or 2016-02-01"},
		{"root: a\ndates: [2024-02-02..2024-02-01]\nmode: current\n", "a.yaml:2:9", "dates[0]", "ends before it starts"},
		{"root: a\n", "a.yaml:1:1", "mode", "it is missing: expected current, descendants, massive, advanced or chain"},
		{"- a\n", "a.yaml:1:1", "", "a list is given: expected fields"},
		{"mode: [\n", "a.yaml:1", "", "it is not YAML"},
		{"apiVersion: v1\n" + good, "a.yaml:1:1", "apiVersion", "there is no such field"},
	} {
		_, err := Read("a.yaml", []byte(c.text))
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.Invalid {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if c.where == "" {
			if !strings.Contains(e.Message, c.message) {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if !slices.ContainsFunc(e.Details, func(d fault.Detail) bool {
			return d.Where == c.where && d.Field == c.field && strings.Contains(d.Message, c.message)
		}) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if _, err := Read("a.yaml", []byte(strings.Repeat("#", maxFile+1))); !fault.Is(err, fault.TooLarge) {
		t.Error(err)
	}
	if _, err := Read("a.yaml", []byte(strings.Repeat("---\n"+good, maxRequests+1))); err == nil || !strings.Contains(err.Error(), "more than 1000 requests") {
		t.Error(err)
	}
	if _, err := Read("a.yaml", []byte("a: 1\n"+strings.Repeat("b: 1\n", 200))); err == nil || !strings.Contains(err.Error(), "and 103 more") {
		t.Error(err)
	}
}

func TestWhatACoordinatorSaysIsLocated(t *testing.T) {
	f := one(t, good+"nodes: [b, c]\n")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fault.Field("nodes[1]", "node c does not exist"), "a.yaml is refused\n  a.yaml:4:12: nodes[1]: node c does not exist"},
		{fault.Field("end", "it is missing"), "a.yaml is refused\n  a.yaml:1:1: end: it is missing"},
		{fault.New(fault.Conflict, "2 problems").WithDetails(fault.Detail{Field: "dates[0]", Message: "no"}, fault.Detail{Where: "x:1", Message: "there"}),
			"2 problems\n  a.yaml:3:9: dates[0]: no\n  x:1: there"},
		{fault.New(fault.Unavailable, "no leader"), "a.yaml: no leader"},
		{errors.New("broken"), "broken"},
	} {
		if got := f.Locate(c.err); got.Error() != c.want || fault.CodeOf(got) != fault.CodeOf(c.err) {
			t.Errorf("%q", got)
		}
	}
	if err := (&File{}).Locate(fault.Field("--node", "x")); err.Error() != "--node: x" {
		t.Error(err)
	}
}

func TestWhatMeansTheSameHasOneKey(t *testing.T) {
	a := one(t, good).Request
	b := one(t, "dates:\n  - 2024-01-01 # the first\nroot: \"a\"\nmode: current\ngroups: 1\norder: ascending\ngate: day\nonFailure: hold\noverlap: wait\nonConflict: yield\npausedNodes: run\ndryRunNodes: run\nnodes: []\n").Request
	if KeyOf(a) != KeyOf(b) || !strings.HasPrefix(KeyOf(a), "file-") {
		t.Errorf("%s %s", KeyOf(a), KeyOf(b))
	}
	b.Groups = 2
	if KeyOf(a) == KeyOf(b) {
		t.Error("another request has the same key")
	}
	if n := Normal(everything()); !reflect.DeepEqual(n, Normal(n)) {
		t.Errorf("%+v", n)
	}
}

// TestShapeKnowsTheContract: what the contract says of a request is what shape
// can hold.
func TestShapeKnowsTheContract(t *testing.T) {
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(api.Document, &document); err != nil {
		t.Fatal(err)
	}
	known := []string{"additionalProperties"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[shape]()) {
		known = append(known, f.Tag.Get("yaml"))
	}
	var visit func(path string, s map[string]any)
	visit = func(path string, s map[string]any) {
		for k, v := range s {
			if !slices.Contains(known, k) && !strings.HasPrefix(k, "x-") {
				t.Errorf("%s says %s, which the reader does not know", path, k)
			}
			switch k {
			case "$ref":
				name := strings.TrimPrefix(v.(string), refPrefix)
				visit(name, document.Components.Schemas[name])
			case "items":
				visit(path+"[]", v.(map[string]any))
			case "properties":
				for name, inner := range v.(map[string]any) {
					visit(path+"."+name, inner.(map[string]any))
				}
			}
		}
	}
	visit("BackfillRequest", document.Components.Schemas["BackfillRequest"])
}

func TestSchemaTakesTheExample(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s openapi3.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	check := func(text string) error {
		var tree any
		if err := yaml.Unmarshal([]byte(strings.NewReplacer("- 2024-01-01..2024-01-31\n", "", "- 2024-02-29", "- '2024-02-29'").Replace(text)), &tree); err != nil {
			t.Fatal(err)
		}
		return s.VisitJSON(tree)
	}
	if err := check(string(Example)); err != nil {
		t.Error(err)
	}
	if err := check(string(Example) + "rot: a\n"); err == nil || !strings.Contains(err.Error(), "rot") {
		t.Error(err)
	}
	if s.Properties["period"].Value.Properties["cycle"].Value.Enum == nil || s.Properties["key"] == nil {
		t.Errorf("%s", text)
	}
}

// FuzzRead: whatever is read is written and read as the same, and what is refused
// says where.
func FuzzRead(f *testing.F) {
	f.Add(Example)
	f.Add([]byte(good))
	text, err := Write(everything(), "all")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, name := range []string{"nested.yaml", "odd.yaml"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := Read("f", data)
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) || e.Code != fault.Invalid && e.Code != fault.TooLarge {
				t.Fatal(err)
			}
			for _, d := range e.Details {
				if d.Where == "" && !strings.HasPrefix(d.Message, "and ") {
					t.Fatalf("no place: %+v", d)
				}
			}
			return
		}
		for _, one := range files {
			text, err := Write(one.Request, "")
			if err != nil {
				t.Fatal(err)
			}
			again, err := Read("again", text)
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			if KeyOf(again[0].Request) != KeyOf(one.Request) || !reflect.DeepEqual(Normal(again[0].Request), Normal(one.Request)) {
				t.Fatalf("%+v\n%s%+v", one.Request, text, again[0].Request)
			}
		}
	})
}
