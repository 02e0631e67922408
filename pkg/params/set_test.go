package params

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

func TestSetValuesInOrder(t *testing.T) {
	s := compile(t, DataWorks, []Assignment{{"ds", "$[yyyymmdd-1]"}, {"biz", "$bizdate"}, {"k", "v"}},
		Assignment{"region", "eu"}, Assignment{"ds", "shadow"})
	got := values(t, s, nil)
	want := []Assignment{{"ds", "20250330"}, {"biz", "20250330"}, {"k", "v"}, {"workspace.region", "eu"}, {"workspace.ds", "shadow"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if names := s.Names(); !slices.Equal(names, []string{"ds", "biz", "k", "workspace.region", "workspace.ds"}) {
		t.Errorf("names %v", names)
	}
}

func TestWorkspaceLiesUnderNode(t *testing.T) {
	s := compile(t, DataWorks, []Assignment{{"workspace.region", "us"}}, Assignment{"region", "eu"})
	if got := values(t, s, nil); !slices.Equal(got, []Assignment{{"workspace.region", "us"}}) {
		t.Errorf("got %v", got)
	}
}

func TestR2_8_OverridesReplaceOrAdd(t *testing.T) {
	s := compile(t, DataWorks, []Assignment{{"a", "1"}, {"b", "2"}}, Assignment{"w", "3"})
	got := values(t, s, []Assignment{{"c", "$[dd]"}, {"a", "x"}, {"workspace.w", "y"}})
	want := []Assignment{{"a", "x"}, {"b", "2"}, {"c", "31"}, {"workspace.w", "y"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := values(t, s, nil); !slices.Equal(got, []Assignment{{"a", "1"}, {"b", "2"}, {"workspace.w", "3"}}) {
		t.Errorf("an override changed the set: %v", got)
	}
	only := compile(t, Dataphin, []Assignment{{"A", "$B"}, {"b", "1"}})
	if got := values(t, only, []Assignment{{"B", "2"}, {"c", "$a"}}); !slices.Equal(got, []Assignment{{"A", "2"}, {"b", "2"}, {"c", "2"}}) {
		t.Errorf("got %v", got)
	}
}

func TestSetRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    Dialect
		all  []Assignment
		want []string
	}{
		{"a doubled name", DataWorks, []Assignment{{"a", "1"}, {"a", "2"}}, []string{"a: assigned twice"}},
		{"names without case", Dataphin, []Assignment{{"a", "1"}, {"A", "2"}}, []string{"A: assigned twice"}},
		{"no name", DataWorks, []Assignment{{"", "1"}}, []string{"not a parameter name"}},
		{"names", DataWorks, []Assignment{{"1a", "1"}, {"a b", "2"}, {"a..b", ""}, {".a", ""}, {"a.", ""}, {strings.Repeat("a", 129), ""}},
			[]string{"1a: not", "a b: not", "a..b: not", ".a: not", "a.: not", "aaa: not"}},
		{"values, all at once", DataWorks, []Assignment{{"x", "${yyyy-1/2}"}, {"y", "$[mm-1]"}},
			[]string{"x: column 9: ", "y: column 5: "}},
		{"a circle", Dataphin, []Assignment{{"z", "$A"}, {"a", "$b"}, {"B", "x$C"}, {"c", "$A"}}, []string{"a: refers to itself: a → B → c → a"}},
		{"a circle of one", Dataphin, []Assignment{{"a", "$a"}}, []string{"a → a"}},
		{"a circle through a builtin's name", Dataphin, []Assignment{{"bizdate", "$x"}, {"x", "$bizdate"}}, []string{"bizdate → x → bizdate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := CompileSet(tc.d, tc.all)
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
	if _, err := CompileSet(DataWorks, make([]Assignment, maxAssignments+1)); err == nil {
		t.Error("too many parameters are accepted")
	}
	if _, err := compile(t, Dataphin, []Assignment{{"a", "$b"}}).Values(at(t, "2025-03-31 00:30"), []Assignment{{"b", "$a"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an override that closes a circle: %v", err)
	}
	if _, err := CompileSet("oracle", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unknown dialect: %v", err)
	}
}

func TestDataphinReferences(t *testing.T) {
	for _, tc := range []struct {
		name string
		all  []Assignment
		want string // of the last one
	}{
		{"to a later key", []Assignment{{"b", "1"}, {"A", "$B-$b"}}, "1-1"},
		{"of a reference", []Assignment{{"c", "$[dd]"}, {"b", "$c"}, {"a", "x$B"}}, "x31"},
		{"to nothing stays", []Assignment{{"a", "$nothing"}}, "$nothing"},
		{"the user's value overrides the system's", []Assignment{{"BIZDATE", "mine"}, {"a", "$bizdate ${bizdate}"}}, "mine mine"},
		{"the full name is the system's", []Assignment{{"bizdate", "mine"}, {"a", "${bdp.system.bizdate}"}}, "20250330"},
		{"the system's value under its own name", []Assignment{{"bizdate", "$bizdate"}}, "20250330"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := values(t, compile(t, Dataphin, tc.all), nil)
			if got[len(got)-1].Value != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestDataWorksHasNoReferences(t *testing.T) {
	got := values(t, compile(t, DataWorks, []Assignment{{"bizdate", "mine"}, {"a", "$bizdate $b"}, {"b", "1"}}), nil)
	if got[1].Value != "20250330 $b" {
		t.Errorf("got %v", got)
	}
}

func TestReferencesCannotGrowWithoutBound(t *testing.T) {
	all := []Assignment{{"a0", strings.Repeat("x", 1000)}}
	for i := range 20 {
		all = append(all, Assignment{"a" + strconv.Itoa(i+1), strings.Repeat("$a"+strconv.Itoa(i)+" ", 10)})
	}
	_, err := compile(t, Dataphin, all).Values(at(t, "2025-03-31 00:30"), nil)
	if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "parameter a2: ") {
		t.Errorf("got %v", err)
	}
}

func TestValuesNameTheParameter(t *testing.T) {
	_, err := compile(t, DataWorks, []Assignment{{"ds", "${yyyymmdd-1}"}}).Values(at(t, "0001-01-02 00:00"), nil)
	if err == nil || err.Error() != "parameter ds: ${yyyymmdd-1}: the moment is in the year 0: expected years 0001 to 9999" {
		t.Errorf("got %v", err)
	}
}

func compile(t testing.TB, d Dialect, node []Assignment, workspace ...Assignment) *Set {
	t.Helper()
	s, err := CompileSet(d, node, workspace...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func values(t testing.TB, s *Set, overrides []Assignment) []Assignment {
	t.Helper()
	got, err := s.Values(at(t, "2025-03-31 00:30"), overrides)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// BenchmarkValues renders what nodes commonly have, for one instance.
func BenchmarkValues(b *testing.B) {
	c := Context{Data: calendar.DateOf(2021, 8, 23), Scheduled: calendar.Wall{Date: calendar.DateOf(2021, 8, 24), Clock: 3600}, Generated: calendar.DateOf(2021, 9, 1),
		PlanID: "b1", NodeID: "n", InstanceID: "b1.7"}
	for name, all := range map[string][]Assignment{
		"bizdate": {{"bizdate", "$bizdate"}},
		"dates":   {{"a", "${yyyymmdd-1}"}, {"b", "$[add_months(yyyymm,-1)]"}, {"c", "$[yyyy-mm-dd hh24:mi:ss-1/24]"}, {"d", "fixed"}},
		"ids":     {{"p", "$jobid/$nodeid/$taskid"}},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := CompileSet(DataWorks, all)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Values(c, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
