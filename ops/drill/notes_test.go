package drill

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
)

// TestFollowFindsWhatIsWrong: the judge is seen to fail for each promise that
// the notes can show to be broken.
func TestFollowFindsWhatIsWrong(t *testing.T) {
	const extract, clean = "drill_extract 20010102", "drill_clean 20010102"
	for _, c := range []struct {
		name, notes, want string
	}{
		{"right", "start b1.0 1 5 " + extract + "|end b1.0 1 5 " + extract + "|start b1.1 1 7 " + clean + "|end b1.1 1 7 " + clean, ""},
		{"killed and run again", "start b1.0 1 5 " + extract + "|start b1.0 2 9 " + extract + "|end b1.0 2 9 " + extract, ""},
		{"overlap", "start b1.0 1 5 " + extract + "|start b1.0 2 9 " + extract + "|end b1.0 1 5 " + extract, "double: b1.0, attempt 1, still ran when the one with fence 9 began"},
		{"a fence that does not grow", "start b1.0 1 5 " + extract + "|start b1.0 2 5 " + extract, "double: b1.0, attempt 2, began with fence 5 after one with fence 5"},
		{"the same attempt twice", "start b1.0 1 5 " + extract + "|start b1.0 1 6 " + extract, "double: b1.0, attempt 1, began with fence 6 after one with fence 5"},
		{"two ends", "start b1.0 1 5 " + extract + "|end b1.0 1 5 " + extract + "|end b1.0 1 5 " + extract, "double: b1.0, attempt 1, ended twice"},
		{"an end alone", "end b1.0 1 5 " + extract, "double: b1.0, attempt 1 with fence 5, ended without having begun"},
		{"before its upstream ended", "start b1.0 1 5 " + extract + "|start b1.1 1 7 " + clean, "order: b1.1 (drill_clean dt=20010102) began before drill_extract dt=20010102 had ended"},
		{"beside another backfill's", "start b2.0 1 5 " + extract + "|end b2.0 1 5 " + extract + "|start b1.1 1 7 " + clean, "order: b1.1 (drill_clean dt=20010102) began before drill_extract dt=20010102 had ended"},
		{"before the day before ended", "start b1.0 1 3 drill_clean 20010101|start b1.1 1 5 " + clean + "|end b1.1 1 5 " + clean + "|start b1.2 1 7 drill_window 20010102",
			"order: b1.2 (drill_window dt=20010102) began before drill_clean dt=20010101 had ended"},
	} {
		var text strings.Builder
		for i, n := range strings.Split(c.notes, "|") {
			event, rest, _ := strings.Cut(n, " ")
			fmt.Fprintln(&text, event, i, rest)
		}
		list, err := readNotes(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		say := func(kind string) func(string, ...any) {
			return func(format string, args ...any) { got = append(got, kind+": "+fmt.Sprintf(format, args...)) }
		}
		follow(list, say("double"), say("order"))
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCheckLogFindsGaps(t *testing.T) {
	all := []string{"start 1 b1.0 1 5 drill_extract 20010102"}
	for i := range lines {
		all = append(all, fmt.Sprintf("line %d of %d", i+1, lines))
	}
	all = append(all, "end 2 b1.0 1 5 drill_extract 20010102")
	text := func(list []string) string { return strings.Join(list, "\n") + "\n" }
	for _, c := range []struct {
		name, text string
		whole      bool
		wrong      bool
	}{
		{"whole", text(all), true, false},
		{"a beginning of one that was killed", text(all[:7]), false, false},
		{"cut within a line", text(all[:7]) + "line", false, false},
		{"nothing, killed", "", false, false},
		{"nothing", "", true, true},
		{"its end is missing", text(all[:lines+1]), true, true},
		{"a line is missing", text(append(slices.Clone(all[:5]), all[6:]...)), true, true},
		{"a line is missing, killed", text(append(slices.Clone(all[:5]), all[6:9]...)), false, true},
		{"a line is there twice", text(append(slices.Clone(all[:5]), all[4:]...)), true, true},
		{"another attempt's lines follow", text(append(slices.Clone(all), all...)), true, true},
	} {
		if _, got := checkLog(c.text, c.whole); got != "" != c.wrong {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// TestCompareFindsWhatIsWrong: what the cluster says against what was noted.
func TestCompareFindsWhatIsWrong(t *testing.T) {
	at := time.Unix(1, 0)
	attempt := func(number int, fence uint64, s v1.AttemptState) v1.Attempt {
		return v1.Attempt{Number: number, Fence: fence, State: s}
	}
	ended := map[int]*noted{1: {fence: 5, start: at, end: at}}
	for _, c := range []struct {
		name           string
		state          v1.State
		attempts       []v1.Attempt
		told           *told
		lost, receipts int
	}{
		{"right", v1.StateSucceeded, []v1.Attempt{attempt(1, 5, v1.AttemptStateSucceeded)}, &told{attempts: ended, last: 5}, 0, 0},
		{"not done", v1.StateRunning, []v1.Attempt{attempt(1, 5, v1.AttemptStateRunning)}, &told{attempts: ended, last: 5}, 1, 1},
		{"done by nobody", v1.StateSucceeded, nil, nil, 0, 1},
		{"another fence", v1.StateSucceeded, []v1.Attempt{attempt(1, 6, v1.AttemptStateSucceeded)}, &told{attempts: ended, last: 5}, 0, 1},
		{"twice", v1.StateSucceeded, []v1.Attempt{attempt(1, 5, v1.AttemptStateSucceeded), attempt(2, 7, v1.AttemptStateSucceeded)}, &told{attempts: ended, last: 5}, 0, 2},
		{"unknown attempt", v1.StateSucceeded, []v1.Attempt{attempt(2, 7, v1.AttemptStateSucceeded)}, &told{attempts: ended, last: 5}, 0, 2},
	} {
		r := &Report{}
		r.compare(&known{Instance: v1.Instance{ID: "b1.0", State: c.state}, attempts: c.attempts}, c.told, false)
		if r.LostResults != c.lost || r.WrongReceipts != c.receipts || r.Held() != (c.lost+c.receipts == 0) {
			t.Errorf("%s: %d lost, %d receipts wrong, want %d and %d: %q", c.name, r.LostResults, r.WrongReceipts, c.lost, c.receipts, r.Broken)
		}
	}
}
