package params

import (
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

func TestExpand(t *testing.T) {
	given := []Assignment{{"ds", "20250330"}, {"dd", "mine"}, {"bizdate", "assigned"}, {"raw", "${ds} $[dd] $$"}, {"workspace.region", "eu"}}
	for _, tc := range []struct {
		name       string
		d          Dialect
		nodeType   string
		code, want string
	}{
		{"a name", DataWorks, "sql", "ds='${ds}'", "ds='20250330'"},
		{"a name of the workspace", DataWorks, "sql", "${workspace.region}", "eu"},
		{"expressions directly", DataWorks, "sql", "$[yyyymmdd] ${yyyymm-1} $gmtdate ${bdp.system.bizdate}", "20250331 202502 20250331 20250330"},
		{"an assigned name wins over an expression", DataWorks, "sql", "${dd} $[dd]", "mine 31"},
		{"an assigned name wins over a builtin", DataWorks, "sql", "$bizdate ${bizdate}", "assigned assigned"},
		{"values are not expanded again", DataWorks, "sql", "<${raw}>", "<${ds} $[dd] $$>"},
		{"a literal", DataWorks, "sql", "$${ds} $${any thing} $$[dd]", "${ds} ${any thing} $[dd]"},
		{"words and commands stay", DataWorks, "sql", "$ds $x $(ls) $1 $$ $", "$ds $x $(ls) $1 $$ $"},
		{"JSON paths stay", DataWorks, "sql", `get_json_object(j, '$[0].a$[*].b$["c"]$[')`, `get_json_object(j, '$[0].a$[*].b$["c"]$[')`},
		{"shell keeps its own", DataWorks, "shell", "${HOME}/${x:-${ds}} ${ds} ${#a[@]} ${a%%.*} ${1} ${", "${HOME}/${x:-20250330} 20250330 ${#a[@]} ${a%%.*} ${1} ${"},
		{"shell takes dates", DataWorks, "shell", "${yyyymm}${mm-1} ${hh24}", "20250302 ${hh24}"},
		{"python keeps its own", DataWorks, "python", "Template('${who} ${ds}')", "Template('${who} 20250330')"},
		{"dataphin ignores case", Dataphin, "sql", "${DS} ${Ds} ${yyyyMMdd} ${BIZDATE} $GMTDate", "20250330 20250330 20250330 assigned 20250331"},
		{"nothing", DataWorks, "sql", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _, err := CompileCode(tc.d, tc.nodeType, tc.code, names(given))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Expand(at(t, "2025-03-31 00:30"), given); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestCodeNames(t *testing.T) {
	c, _, err := CompileCode(Dataphin, "sql", "${B} ${a} ${b} $${c}", []string{"a", "b", "c"})
	if err != nil || !slices.Equal(c.Names(), []string{"b", "a"}) {
		t.Errorf("got %v, %v", c.Names(), err)
	}
}

func TestCodeWarnings(t *testing.T) {
	_, warnings, err := CompileCode(DataWorks, "shell", "echo $[dd]\n é ${HOME} $[1+2]\n", nil)
	if err != nil || len(warnings) != 2 {
		t.Fatalf("got %v, %v", warnings, err)
	}
	if w := warnings[0]; w.Line != 2 || w.Column != 4 || w.Text != "${HOME}" || !strings.Contains(w.Message, "it stays") {
		t.Errorf("got %+v", w)
	}
	if w := warnings[1]; w.Line != 2 || w.Column != 12 || w.Text != "$[1+2]" {
		t.Errorf("got %+v", w)
	}
	_, warnings, err = CompileCode(DataWorks, "shell", strings.Repeat("${HOME}", 1000), nil)
	if err != nil || len(warnings) != maxFindings {
		t.Errorf("got %d warnings, %v", len(warnings), err)
	}
}

func TestCodeRefusals(t *testing.T) {
	for _, tc := range []struct{ nodeType, code, want string }{
		{"sql", "select 1\n where ds=${dz}", "line 2, column 13: expected yyyy"},
		{"sql", "${dz}", "a name must be assigned, and $${…} is a literal"},
		{"sql", "${yyyymmdd-1/24}", "line 1, column 13"},
		{"sql", "a ${", `line 1, column 3: expected "}" to close "${"`},
		{"shell", "x\n$[yyyymm-1]", "line 2, column 9: a whole number of days"},
		{"shell", "$[ yyyyx]", "$$[…] is a literal $[…]"},
		{"shell", "$[yyyy", `line 1, column 1: expected "]"`},
	} {
		if _, _, err := CompileCode(DataWorks, tc.nodeType, tc.code, nil); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %q: got %v, want %s", tc.nodeType, tc.code, err, tc.want)
		}
	}
	if _, _, err := CompileCode(DataWorks, "sql", strings.Repeat("x", MaxCode+1), nil); !fault.Is(err, fault.TooLarge) {
		t.Errorf("long code: %v", err)
	}
	if _, _, err := CompileCode("", "sql", "", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("no dialect: %v", err)
	}
}

func TestR1_6_CodeThatNeedsAMissingNameFails(t *testing.T) {
	c, _, err := CompileCode(DataWorks, "sql", "${ds}", []string{"ds"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expand(at(t, "2025-03-31 00:30"), nil); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "have no ds") {
		t.Errorf("got %v", err)
	}
}

func TestExpansionIsBounded(t *testing.T) {
	c, _, err := CompileCode(DataWorks, "sql", strings.Repeat("${x}", 1000), []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Expand(at(t, "2025-03-31 00:30"), []Assignment{{"x", strings.Repeat("v", MaxSource)}}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v", err)
	}
}

// FuzzExpand: code compiles or is refused with a coded error; without marks it
// comes out as it went in; a value that is used is in the result.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"select ${ds} $[hh24]", "${HOME:-${ds}} $${x} $[0]", "$$$${a}$", "\n${"} {
		f.Add(s, "value")
	}
	c := Context{Data: 20_000, Scheduled: calendar.Wall{Date: 20_001}, Generated: 20_001}
	f.Fuzz(func(t *testing.T, code, value string) {
		for _, d := range []Dialect{DataWorks, Dataphin} {
			for _, nodeType := range []string{"shell", "sql"} {
				compiled, _, err := CompileCode(d, nodeType, code, []string{"ds"})
				if err != nil {
					if fault.CodeOf(err) == fault.Internal {
						t.Fatalf("%q: uncoded %v", code, err)
					}
					continue
				}
				got, err := compiled.Expand(c, []Assignment{{"ds", value}})
				if err != nil && fault.CodeOf(err) == fault.Internal {
					t.Fatalf("%q: uncoded %v", code, err)
				}
				if !strings.Contains(code, "$") && got != code {
					t.Fatalf("%q became %q", code, got)
				}
				if len(compiled.Names()) > 0 && err == nil && !strings.Contains(got, value) {
					t.Fatalf("%q lost the value: %q", code, got)
				}
			}
		}
	})
}

func names(all []Assignment) []string {
	var list []string
	for _, a := range all {
		list = append(list, a.Name)
	}
	return list
}
