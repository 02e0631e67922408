package drill

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// note is one word of an attempt about itself.
type note struct {
	end      bool
	at       time.Time // by the clock of its host
	instance string
	attempt  int
	fence    uint64
	node, dt string
}

func parseNote(text string) (n note, err error) {
	var event string
	var ns int64
	if _, err := fmt.Sscanf(text, "%s %d %s %d %d %s %s", &event, &ns, &n.instance, &n.attempt, &n.fence, &n.node, &n.dt); err != nil || event != "start" && event != "end" {
		return n, fmt.Errorf("%q: expected start or end, time, instance, attempt, fence, node and dt", text)
	}
	n.end, n.at = event == "end", time.Unix(0, ns)
	return n, nil
}

// readNotes reads the file that all attempts append to. Each line is one write:
// their order is the order of events, whatever the clocks say.
func readNotes(r io.Reader) (list []note, err error) {
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		n, err := parseNote(scan.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(list)+1, err)
		}
		list = append(list, n)
	}
	return list, scan.Err()
}

// told is what the notes of an instance come to.
type told struct {
	attempts map[int]*noted
	last     uint64 // the newest fence
	running  bool   // the newest attempt has not noted its end
}

type noted struct {
	fence      uint64
	start, end time.Time // end is zero where it was killed
}

// cell is a partition: what dependencies are between.
type cell struct{ plan, node, dt string }

func planOf(instance string) string {
	for i := range instance {
		if instance[i] == '.' {
			return instance[:i]
		}
	}
	return instance
}

// follow goes through notes in their order. double and order are called with
// what breaks a promise: two attempts of an instance at once, or a fence that
// does not grow (RULES R13.2, R13.3), and a start before what it waits for.
func follow(list []note, double, order func(format string, args ...any)) map[string]*told {
	all := map[string]*told{}
	done := map[cell]*told{}
	for _, n := range list {
		t := all[n.instance]
		if t == nil {
			t = &told{attempts: map[int]*noted{}}
			all[n.instance], done[cell{planOf(n.instance), n.node, n.dt}] = t, t
		}
		switch a := t.attempts[n.attempt]; {
		case !n.end:
			if a != nil || n.fence <= t.last {
				double("%s, attempt %d, began with fence %d after one with fence %d", n.instance, n.attempt, n.fence, t.last)
			}
			t.attempts[n.attempt], t.last, t.running = &noted{fence: n.fence, start: n.at}, n.fence, true
			checkOrder(n, done, order)
		case a == nil || a.fence != n.fence:
			double("%s, attempt %d with fence %d, ended without having begun", n.instance, n.attempt, n.fence)
		case n.fence < t.last:
			double("%s, attempt %d, still ran when the one with fence %d began", n.instance, n.attempt, t.last)
			a.end = n.at
		case !a.end.IsZero():
			double("%s, attempt %d, ended twice", n.instance, n.attempt)
		default:
			a.end, t.running = n.at, false
		}
	}
	return all
}

// checkOrder looks whether what an instance reads has ended when it begins.
func checkOrder(n note, done map[cell]*told, order func(format string, args ...any)) {
	plan, of := planOf(n.instance), named(n.node)
	ended := func(node, dt string, mayBeMissing bool) {
		u := done[cell{plan, node, dt}]
		if u == nil && mayBeMissing { // the day before the backfill's first
			return
		}
		if u == nil || u.running {
			order("%s (%s dt=%s) began before %s dt=%s had ended", n.instance, n.node, n.dt, node, dt)
		}
	}
	for _, u := range of.reads {
		ended(u, n.dt, false)
	}
	if of.day == "" {
		return
	}
	ended(of.day, n.dt, false)
	if d, err := time.Parse("20060102", n.dt); err == nil {
		ended(of.day, d.AddDate(0, 0, -1).Format("20060102"), true)
	}
}
