package weather

import (
	"bufio"
	"fmt"
	"io"
)

// Trace is what the attempts noted about themselves.
type Trace struct {
	Attempts int
	Unended  int      // killed before they could note their end
	Wrong    []string // a line for each rule that was broken
}

// ReadTrace checks the lines that attempts append to one file on one host:
// "start|end INSTANCE ATTEMPT FENCE NODE DT". Each line is one write, so that
// their order is the order of events, whatever the clocks say. No two attempts
// of an instance may overlap, and an instance's fences only grow. An attempt
// that was killed has no end; it overlapped if it notes one after its
// successor has begun.
func ReadTrace(r io.Reader) (Trace, error) {
	type instance struct {
		last  uint64 // the newest fence
		ended bool
	}
	var t Trace
	instances := map[string]*instance{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var event, id, node, dt string
		var attempt, fence uint64
		if _, err := fmt.Sscanf(lines.Text(), "%s %s %d %d %s %s", &event, &id, &attempt, &fence, &node, &dt); err != nil || (event != "start" && event != "end") {
			return t, fmt.Errorf("line %d: %q: expected start or end, instance, attempt, fence, node and dt", n, lines.Text())
		}
		wrong := func(format string, args ...any) {
			t.Wrong = append(t.Wrong, fmt.Sprintf("line %d: %s (%s dt=%s), attempt %d: ", n, id, node, dt, attempt)+fmt.Sprintf(format, args...))
		}
		i := instances[id]
		switch {
		case event == "start":
			t.Attempts++
			t.Unended++
			if i == nil {
				i = &instance{}
				instances[id] = i
			}
			if fence <= i.last {
				wrong("its fence %d does not exceed the %d before it", fence, i.last)
			}
			*i = instance{last: fence}
		case i == nil || fence > i.last:
			wrong("it ended without having started")
		case fence < i.last:
			t.Unended--
			wrong("it still ran when the attempt with fence %d began", i.last)
		case i.ended:
			wrong("it ended twice")
		default:
			t.Unended--
			i.ended = true
		}
	}
	return t, lines.Err()
}

// Print writes the trace for people and says whether every rule held.
func (t Trace) Print(w io.Writer) bool {
	fmt.Fprintf(w, "%-22s %d attempts, %d of them killed, %d overlaps or wrong fences\n", "trace", t.Attempts, t.Unended, len(t.Wrong))
	for _, wrong := range t.Wrong[:min(5, len(t.Wrong))] {
		fmt.Fprintf(w, "  %s\n", wrong)
	}
	return len(t.Wrong) == 0
}
