package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what a drill has shown. Promises that were broken are in Broken,
// the first of each kind in words; the counts beside them must be 0.
type Report struct {
	Drill        string    `json:"drill"`
	Cluster      string    `json:"cluster,omitempty"` // a real one's name
	Seed         uint64    `json:"seed"`
	Began        time.Time `json:"began"`
	Seconds      float64   `json:"seconds"`
	Faults       int       `json:"faults"`
	Coordinators int       `json:"coordinators"`
	Agents       int       `json:"agents"`
	Instances    int       `json:"instances"`
	Attempts     int       `json:"attempts"` // processes that noted their start

	Gaps []Gap `json:"gaps"` // by kind of fault

	LeasesExtended  int `json:"leasesExtended"`  // attempts that began before a failover and ended well after it
	AttemptsLost    int `json:"attemptsLost"`    // leases that ended without a result
	AttemptsRetried int `json:"attemptsRetried"` // that followed another of the same instance
	RanAgain        int `json:"ranAgain"`        // instances whose code had reached its end when it was lost

	DoubleRuns        int `json:"doubleRuns"`
	LostResults       int `json:"lostResults"`
	WrongReceipts     int `json:"wrongReceipts"`
	LogGaps           int `json:"logGaps"`
	WrongOrder        int `json:"wrongOrder"`
	WrongData         int `json:"wrongData"`
	WrongAnswers      int `json:"wrongAnswers"` // a key that made two backfills, a read that went back
	LeasesLostWrongly int `json:"leasesLostWrongly"`

	Submits     int64    `json:"submits"`
	Reads       int64    `json:"reads"`
	Refused     int64    `json:"refused"` // answers after which the client asked again
	Unknown     int64    `json:"unknown"` // of those, writes that might have happened
	LongestWait float64  `json:"longestWaitSeconds"`
	Broken      []string `json:"broken,omitempty"`
	Folder      string   `json:"folder,omitempty"`
	Replay      string   `json:"replay,omitempty"`
	NotSeen     string   `json:"notSeen,omitempty"` // what cannot be seen from outside
}

// Gap is how long it took after a kind of fault until an attempt began that was
// granted after it, in seconds.
type Gap struct {
	After string  `json:"after"`
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	Max   float64 `json:"max"`
}

func gapOf(after string, seconds []float64) Gap {
	slices.Sort(seconds)
	at := func(percent float64) float64 {
		return seconds[max(0, int(math.Ceil(percent/100*float64(len(seconds))))-1)]
	}
	return Gap{after, len(seconds), at(50), at(95), at(100)}
}

const mostBroken = 40

// broke counts a broken promise, and remembers the first ones.
func (r *Report) broke(count *int, what string) func(format string, args ...any) {
	return func(format string, args ...any) {
		*count++
		if len(r.Broken) < mostBroken {
			r.Broken = append(r.Broken, what+": "+fmt.Sprintf(format, args...))
		}
	}
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) { r.rows(w, "%s\t%s\n", "  %s\n") }

// Markdown writes it as a section of a document.
func (r *Report) Markdown(w io.Writer) {
	fmt.Fprintf(w, "## %s, %s\n\n| | |\n|---|---|\n", r.Drill, r.Began.UTC().Format("2006-01-02 15:04"))
	r.rows(w, "| %s | %s |\n", "- %s\n")
	fmt.Fprintln(w)
}

func (r *Report) rows(out io.Writer, row, item string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	say := func(name, format string, args ...any) { fmt.Fprintf(w, row, name, fmt.Sprintf(format, args...)) }
	where := fmt.Sprintf("%d coordinators, %d agents", r.Coordinators, r.Agents)
	if r.Cluster != "" {
		where = "cluster " + r.Cluster + ", " + where
	}
	say("drill", "%s, %d times, seed %d, %s, %s", r.Drill, r.Faults, r.Seed, where, (time.Duration(r.Seconds * float64(time.Second))).Round(time.Second))
	say("instances", "%d in %d processes", r.Instances, r.Attempts)
	for _, g := range r.Gaps {
		say("gap after "+g.After, "p50 %.2f s, p95 %.2f s, max %.2f s (%d)", g.P50, g.P95, g.Max, g.Count)
	}
	say("leases extended", "%d", r.LeasesExtended)
	say("attempts lost", "%d, of which %d had reached their end", r.AttemptsLost, r.RanAgain)
	say("attempts retried", "%d", r.AttemptsRetried)
	say("clients", "%d submits, %d reads; asked again after %d refusals and %d unknown outcomes; longest without an answer %.2f s",
		r.Submits, r.Reads, r.Refused, r.Unknown, r.LongestWait)
	for _, p := range r.promises() {
		say(p.name, "%d", *p.count)
	}
	verdict := "every promise held"
	if !r.Held() {
		verdict = "PROMISES BROKEN"
	}
	say("verdict", "%s", verdict)
	for _, more := range []struct{ name, text string }{{"not seen from outside", r.NotSeen}, {"once more", r.Replay}, {"kept in", r.Folder}} {
		if more.text != "" {
			say(more.name, "%s", more.text)
		}
	}
	_ = w.Flush() // an error of out shows at the next write
	for _, b := range r.Broken {
		fmt.Fprintf(out, item, b)
	}
}

type promise struct {
	name  string
	count *int
}

func (r *Report) promises() []promise {
	return []promise{{"double runs", &r.DoubleRuns}, {"lost results", &r.LostResults}, {"wrong receipts", &r.WrongReceipts}, {"log gaps", &r.LogGaps},
		{"wrong order", &r.WrongOrder}, {"wrong data", &r.WrongData}, {"wrong answers", &r.WrongAnswers}, {"leases lost wrongly", &r.LeasesLostWrongly}}
}

// Held says whether no promise was broken.
func (r *Report) Held() bool {
	for _, p := range r.promises() {
		if *p.count > 0 {
			return false
		}
	}
	return len(r.Broken) == 0
}

// JSON writes the report for machines.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
