package traces

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		built, done, err := rig.Build("../..")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer done()
		binary = built
		return m.Run()
	}())
}

// notes is code that writes down what an attempt knows of its trace.
const notes = `echo "$BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $TRACEPARENT" >>"$OUT/parents"
`

// ran is an attempt by its own words.
type ran struct{ instance, attempt, fence, parent string }

func noted(r *rig.Rig) (list []ran) {
	r.T.Helper()
	text, err := os.ReadFile(filepath.Join(r.Out, "parents"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.T.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := append(strings.Fields(line), "", "", "", "")
		list = append(list, ran{f[0], f[1], f[2], f[3]})
	}
	return list
}

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
)

// submit asks a coordinator for a backfill, as part of a trace, and gives the id.
func submit(r *rig.Rig, server string, q v1.BackfillRequest) string {
	r.T.Helper()
	body, err := json.Marshal(q)
	r.Must(err)
	request, err := http.NewRequestWithContext(r.Ctx, http.MethodPost, server+"/v1/backfills", bytes.NewReader(body))
	r.Must(err)
	request.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"traced"}, "Traceparent": {"00-" + callersTrace + "-" + callersSpan + "-01"}}
	answer, err := http.DefaultClient.Do(request)
	r.Must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	r.Must(err)
	var got v1.Submission
	if err := json.Unmarshal(text, &got); err != nil || got.ID == "" {
		r.T.Fatalf("%s: %s", answer.Status, text)
	}
	return got.ID
}

// TestOneTraceOverTheLeadersDeath: SIGKILL of the leader in the middle. Each attempt
// that ran is in its date's trace, with what it was told itself, once.
func TestOneTraceOverTheLeadersDeath(t *testing.T) {
	const days = 60
	to := startBackend(t)
	s := rig.Start(t, fleet.Config{Binary: binary, Coordinators: 3, Agents: 2, Slots: 3,
		CoordinatorFlags: []string{"--otlp-endpoint", to.address, "--trace-service", "etl"}})
	s.Apply(
		rig.Node{ID: "raw", Fields: []string{"retries: 1"}, Code: notes + `case "$BACKFLEET_ATTEMPT ${dt}" in "1 201201"?5) exit 3;; esac
trace end
`},
		rig.Node{ID: "clean", Fields: []string{"upstreams: [raw]"}, Code: notes + `case "${dt}" in 201202*) until [ -e "$OUT/go" ]; do sleep 0.05; done;; esac
trace end
`}, // some of them live through the change
	)
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	follower := s.Servers[0]
	if s.Coordinators[0] == leader {
		follower = s.Servers[1]
	}
	id := submit(s, follower, v1.BackfillRequest{Root: "raw", Mode: v1.ModeDescendants, Dates: []string{"2012-01-01..2012-02-29"}, Groups: 6})
	s.Until("a third has begun", func() bool { return s.Noted("start ") >= 2*days/3 })
	s.Until("the collector has heard of the request", func() bool { // who made it goes with the leader
		return slices.ContainsFunc(to.spans(), func(s *span) bool { return s.Name == "POST /v1/backfills" })
	})
	killed := time.Now()
	s.Must(leader.Kill())
	s.Must(leader.Start())
	s.Open("go")
	s.Succeeded(id, 2*days)
	s.Traced()
	attempts := noted(s)
	if len(attempts) < 2*days+3 {
		t.Errorf("%d attempts: expected one for each instance and three that failed", len(attempts))
	}
	s.Until("the collector has all of them", func() bool { return complete(to.spans(), attempts) })
	all := unique(t, to.spans())
	for _, a := range attempts {
		follows(t, all, a)
	}
	request(t, all, id)
	changed(t, all, killed, attempts)
}

// complete says whether the end of each attempt came in.
func complete(spans []*span, attempts []ran) bool {
	ends := map[string]bool{}
	for _, s := range spans {
		if s.Name == "settle" {
			ends[s.says["backfleet.instance"]+" "+strconv.Itoa(number(s, "backfleet.attempt"))] = true
		}
	}
	for _, a := range attempts {
		if !ends[a.instance+" "+a.attempt] {
			return false
		}
	}
	return true
}

func number(s *span, key string) int {
	for _, a := range s.Attributes {
		if a.Key == key {
			return int(a.Value.GetIntValue())
		}
	}
	return 0
}

// unique asserts that what is told twice is told alike, and that nothing is told under
// two names.
func unique(t *testing.T, spans []*span) map[string]*span {
	t.Helper()
	all, of := map[string]*span{}, map[string]string{}
	twice := 0
	for _, s := range spans {
		if was := all[s.id()]; was != nil {
			twice++
			if was.trace() != s.trace() || was.parent() != s.parent() || was.Name != s.Name {
				t.Errorf("span %s is %s in %s and %s in %s", s.id(), was.Name, was.trace(), s.Name, s.trace())
			}
			continue // the first was told by who did it
		}
		all[s.id()] = s
		what := s.Name + " " + s.says["backfleet.instance"] + " " + strconv.Itoa(number(s, "backfleet.attempt"))
		if s.says["backfleet.instance"] == "" {
			what += s.trace()
		}
		if was, ok := of[what]; ok && was != s.id() {
			t.Errorf("%s has the ids %s and %s", what, was, s.id())
		}
		of[what] = s.id()
		if s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", what)
		}
	}
	t.Logf("%d spans, %d of them twice", len(all), twice)
	return all
}

var parent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-01$`)

// follows goes from what an attempt was told up to the root.
func follows(t *testing.T, all map[string]*span, a ran) {
	t.Helper()
	told := parent.FindStringSubmatch(a.parent)
	if told == nil {
		t.Errorf("%s attempt %s has TRACEPARENT %q", a.instance, a.attempt, a.parent)
		return
	}
	process := all[told[2]]
	if process == nil || process.Name != "process" || process.says["backfleet.instance"] != a.instance || strconv.Itoa(number(process, "backfleet.attempt")) != a.attempt {
		t.Errorf("%s attempt %s is told of %s, which is %v", a.instance, a.attempt, told[2], process)
		return
	}
	whole := all[process.parent()]
	if whole == nil || !strings.HasPrefix(whole.Name, "attempt ") || strconv.Itoa(number(whole, "backfleet.fence")) != a.fence {
		t.Errorf("the process of %s attempt %s is part of %v", a.instance, a.attempt, whole)
		return
	}
	date := all[whole.parent()]
	if date == nil || !strings.HasPrefix(date.Name, "date ") || len(date.ParentSpanId) > 0 || date.says["backfleet.date"] != whole.says["backfleet.date"] {
		t.Errorf("%s attempt %s is part of %v", a.instance, a.attempt, date)
		return
	}
	parts := map[string]int{}
	for _, s := range all {
		if s.parent() == whole.id() {
			parts[s.Name]++
			if s.trace() != told[1] {
				t.Errorf("%s of %s is in trace %s", s.Name, a.instance, s.trace())
			}
		}
	}
	if whole.trace() != told[1] || date.trace() != told[1] || parts["handover"] != 1 || parts["process"] != 1 || parts["settle"] != 1 {
		t.Errorf("%s attempt %s has %v in %s", a.instance, a.attempt, parts, whole.trace())
	}
	if n, _ := strconv.Atoi(a.attempt); n > 1 && (len(whole.Links) == 0 || all[fmt.Sprintf("%x", whole.Links[0].SpanId)] == nil) {
		t.Errorf("%s attempt %s has no link to the one before: %v", a.instance, a.attempt, whole.Links)
	}
}

// request asserts what is told of the request, in both traces.
func request(t *testing.T, all map[string]*span, id string) {
	t.Helper()
	found := map[string]*span{}
	for _, s := range all {
		if s.says["backfleet.backfill"] == id {
			found[s.Name] = s
		}
	}
	submit, plan, call := found["submit"], found["plan"], found["POST /v1/backfills"]
	if submit == nil || plan == nil || call == nil {
		t.Fatalf("got %v, %v and %v", submit, plan, call)
	}
	if len(submit.ParentSpanId) > 0 || plan.parent() != submit.id() || plan.trace() != submit.trace() || fmt.Sprintf("%x", submit.Links[0].TraceId) != callersTrace ||
		call.trace() != callersTrace || call.parent() != callersSpan || fmt.Sprintf("%x", call.Links[0].SpanId) != submit.id() {
		t.Errorf("got %v, %v and %v", submit, plan, call)
	}
	for name, s := range found {
		if strings.HasPrefix(name, "date ") && fmt.Sprintf("%x", s.Links[0].SpanId) != submit.id() {
			t.Errorf("%s comes from %v", name, s.Links)
		}
	}
}

// changed asserts that another leader is seen, and that what waited is told but for
// what was granted just before the end of the one before.
func changed(t *testing.T, all map[string]*span, killed time.Time, attempts []ran) {
	t.Helper()
	leaders, failovers, waits := map[string]int{}, 0, map[string]bool{}
	for _, s := range all {
		leaders[s.from]++
		end := time.Unix(0, int64(s.EndTimeUnixNano))
		if s.Name == "failover" && end.After(killed) && end.Sub(time.Unix(0, int64(s.StartTimeUnixNano))) < time.Minute {
			failovers++
		}
		if strings.HasPrefix(s.Name, "wait ") {
			waits[s.says["backfleet.instance"]+" "+strconv.Itoa(number(s, "backfleet.attempt"))] = true
		}
	}
	t.Logf("spans by leader: %v", leaders)
	if len(leaders) < 2 || failovers == 0 {
		t.Errorf("%d leaders, %d failovers: expected another leader to be seen", len(leaders), failovers)
	}
	missing := 0
	for _, s := range all {
		granted := time.Unix(0, int64(s.StartTimeUnixNano))
		if strings.HasPrefix(s.Name, "attempt ") && !waits[s.says["backfleet.instance"]+" "+strconv.Itoa(number(s, "backfleet.attempt"))] {
			if missing++; granted.After(killed) || killed.Sub(granted) > 3*time.Second {
				t.Errorf("nobody told for how long %s waited, which was granted %s before the kill", s.says["backfleet.instance"], killed.Sub(granted))
			}
		}
	}
	t.Logf("%d waits of %d went with the leader", missing, len(attempts))
}

// TestACollectorThatHangs: it is dialled and does not answer. Work goes on, what is not
// taken is counted, and the coordinator ends in time.
func TestACollectorThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
	s := rig.Start(t, fleet.Config{Binary: binary, Agents: 1, CoordinatorFlags: []string{"--otlp-endpoint", "http://" + l.Addr().String()}})
	s.Apply(rig.Node{ID: "raw", Code: notes + "trace end\n"})
	s.Succeeded(s.Submit(v1.BackfillRequest{Root: "raw", Mode: v1.ModeCurrent, Dates: []string{"2012-01-01..2012-03-31"}, Groups: 6}), 91)
	s.Until("spans are counted as lost", func() bool { return figure(s, `backfleet_trace_spans_total{outcome="failed"}`) > 91 })
	if n := figure(s, `backfleet_trace_spans_total{outcome="exported"}`); n != 0 {
		t.Errorf("%v were exported", n)
	}
	asked := time.Now()
	s.Must(s.Coordinators[0].Stop(s.Ctx))
	t.Logf("it ended in %s", time.Since(asked))
	if status, err := s.Coordinators[0].Wait(s.Ctx); err != nil || status != 0 {
		t.Errorf("it ended with status %d, %v", status, err)
	}
	s.Must(s.Coordinators[0].Start())
}

func figure(r *rig.Rig, name string) (value float64) {
	r.T.Helper()
	request, err := http.NewRequestWithContext(r.Ctx, http.MethodGet, r.Servers[0]+"/metrics", nil)
	r.Must(err)
	answer, err := http.DefaultClient.Do(request)
	r.Must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	r.Must(err)
	_, rest, found := strings.Cut(string(text), "\n"+name+" ")
	line, _, _ := strings.Cut(rest, "\n")
	if value, err = strconv.ParseFloat(line, 64); !found || err != nil {
		r.T.Fatalf("%s is %q", name, line)
	}
	return value
}

// TestOnePart: by ratio dates are traced whole or not at all, and attempts are told
// which; without an endpoint they are told nothing.
func TestOnePart(t *testing.T) {
	to := startBackend(t)
	s := rig.Start(t, fleet.Config{Binary: binary, Agents: 1, CoordinatorFlags: []string{"--otlp-endpoint", to.address, "--trace-ratio", "0.4"}})
	s.Apply(rig.Node{ID: "raw", Code: notes + "trace end\n"})
	s.Succeeded(s.Submit(v1.BackfillRequest{Root: "raw", Mode: v1.ModeCurrent, Dates: []string{"2012-01-01..2012-02-09"}, Groups: 6}), 40)
	var taken, left []ran
	for _, a := range noted(s) {
		switch {
		case strings.HasSuffix(a.parent, "-01"):
			taken = append(taken, a)
		case strings.HasSuffix(a.parent, "-00"):
			left = append(left, a)
		default:
			t.Errorf("%s has %q", a.instance, a.parent)
		}
	}
	if len(taken) == 0 || len(left) == 0 || len(taken)+len(left) != 40 {
		t.Errorf("%d are taken, %d are not", len(taken), len(left))
	}
	s.Until("the collector has them", func() bool { return complete(to.spans(), taken) })
	all := unique(t, to.spans())
	for _, a := range taken {
		follows(t, all, a)
	}
	for _, span := range all {
		for _, a := range left {
			if span.trace() == strings.Split(a.parent, "-")[1] {
				t.Errorf("%s is in a trace that is not taken", span.Name)
			}
		}
	}

	plain := rig.Start(t, fleet.Config{Binary: binary, Agents: 1})
	plain.Apply(rig.Node{ID: "raw", Code: notes + "trace end\n"})
	plain.Succeeded(plain.Submit(v1.BackfillRequest{Root: "raw", Mode: v1.ModeCurrent, Dates: []string{"2012-01-01"}}), 1)
	if got := noted(plain); len(got) != 1 || got[0].parent != "" {
		t.Errorf("without tracing, attempts know %v", got)
	}
}
