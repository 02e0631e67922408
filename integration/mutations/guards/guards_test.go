package guards

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// TestEveryMutationFitsTheSource: each text stands where the table says, once, and is Go when it is changed.
func TestEveryMutationFitsTheSource(t *testing.T) {
	if _, err := overlay(root, t.TempDir(), guards); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range guards {
		if names[m.name] || m.name == "" || m.breaks == "" || len(m.found.says) == 0 {
			t.Errorf("mutation %q is not complete, or there twice", m.name)
		}
		names[m.name] = true
		for _, e := range m.edits {
			if !strings.Contains(e.fresh, "MUTANT") {
				t.Errorf("mutation %q of %s cannot be switched off", m.name, e.file)
			}
		}
	}
}

// TestAMutationThatDoesNotFitIsRefused: a table that rots is noticed.
func TestAMutationThatDoesNotFitIsRefused(t *testing.T) {
	gone := mutation{name: "gone", edits: []edit{{"go.mod", "no such text", "MUTANT"}}}
	if _, err := overlay(root, t.TempDir(), []mutation{gone}); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("expected an error that names the mutation, and got %v", err)
	}
}

// TestASampleIsFound: a few guards, all of one package, so that little is built.
func TestASampleIsFound(t *testing.T) {
	some := slices.DeleteFunc(slices.Clone(guards), func(m mutation) bool { return m.found.pkg != "coordinator/schedule" })
	if len(some) < 3 {
		t.Fatalf("%d mutations in the sample: expected three or more", len(some))
	}
	found, err := try(root, some, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.line == "" {
			t.Errorf("mutation %q was not found", f.name)
		}
	}
}

// TestThePageHasEveryMutation: what is kept of the last whole run is of this table.
func TestThePageHasEveryMutation(t *testing.T) {
	b, err := os.ReadFile("../MUTATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range guards {
		if !strings.Contains(string(b), "| "+m.name+" |") {
			t.Errorf("MUTATIONS.md does not know %q: run make mutations", m.name)
		}
	}
	if strings.Contains(string(b), "**not found**") {
		t.Error("MUTATIONS.md has a mutation that no test finds")
	}
}
