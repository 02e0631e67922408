package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// measureShell runs real processes through one agent. The bound runs the same
// script as often, as many at a time, with nothing around it.
func measureShell(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, r.o.shellSlots)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes, code = 100, "echo $1\n"
	dates := max(1, r.o.shells/nodes)
	if err := c.apply(ctx, graph(nodes, 1, func(int) string { return code })); err != nil {
		return err
	}
	argv, err := script(r.dir, code)
	if err != nil {
		return err
	}
	var rates, files, pipes, perEntry []float64
	var stays []stay
	for round := range r.o.rounds {
		logged, err := (&forker{dir: r.dir, argv: argv, logged: true}).rate(ctx, 2000, r.o.shellSlots)
		if err != nil {
			return err
		}
		piped, err := (&forker{dir: r.dir, argv: argv}).rate(ctx, 2000, r.o.shellSlots)
		if err != nil {
			return err
		}
		before, err := c.client.Cluster(ctx)
		if err != nil {
			return err
		}
		rate, id, err := c.backfillRate(ctx, round, dates, nodes)
		if err != nil {
			return err
		}
		after, err := c.client.Cluster(ctx)
		if err != nil {
			return err
		}
		perEntry = append(perEntry, float64(dates*nodes)/float64(after.AppliedIndex-before.AppliedIndex))
		one, err := c.stayOf(ctx, id, dates*nodes, float64(r.o.shellSlots)/rate)
		if err != nil {
			return err
		}
		stays = append(stays, one)
		r.say("shell: round %d: %.0f /s; bare with log files %.0f /s, with pipes %.0f /s", round+1, rate, logged, piped)
		rates, files, pipes = append(rates, rate), append(files, logged), append(pipes, piped)
	}
	what := fmt.Sprintf("real processes, one agent of %d slots", r.o.shellSlots)
	target := atLeast(0.85)
	target.OfBound = true
	r.add(Figure{Row: "shell", What: what, Unit: "/s", Rounds: rates, Target: target, Bound: &Bound{"bare fork and exec, a log file each", median(files)}})
	r.add(Figure{Row: "shell", What: "the same against pipes", Unit: "/s", Rounds: rates, Bound: &Bound{"bare fork and exec, a pipe each", median(pipes)}})
	r.add(Figure{Row: "shell", What: "instances in one log entry", Unit: "instances", Rounds: perEntry})
	r.addStays(stays)
	return nil
}

// stay is where the time goes that an instance holds a slot, in milliseconds.
type stay struct{ start, run, settle float64 }

// stayOf looks at a sample of the attempts of a backfill. What the attempts do
// not tell, from the end of a process to the next grant of its slot, is the
// rest of the time that a slot is held, given in seconds.
func (c *cluster) stayOf(ctx context.Context, id string, n int, held float64) (stay, error) {
	var s stay
	const sample = 100
	for i := range sample {
		d, err := c.client.Instance(ctx, id+"."+strconv.Itoa(i*n/sample))
		if err != nil {
			return s, err
		}
		a := d.Attempts[len(d.Attempts)-1]
		if a.GrantedAt == nil || a.StartedAt == nil || a.EndedAt == nil {
			return s, fmt.Errorf("attempt %d of %s does not say when it was granted, started and ended", a.Number, d.Instance.ID)
		}
		s.start += ms(a.StartedAt.Sub(*a.GrantedAt)) / sample
		s.run += ms(a.EndedAt.Sub(*a.StartedAt)) / sample
	}
	s.settle = held*1000 - s.start - s.run
	return s, nil
}

func (r *run) addStays(stays []stay) {
	for _, part := range []struct {
		what string
		of   func(stay) float64
	}{
		{"grant decided to process started", func(s stay) float64 { return s.start }},
		{"process started to its end noticed", func(s stay) float64 { return s.run }},
		{"end noticed to the slot's next grant", func(s stay) float64 { return s.settle }},
	} {
		f := Figure{Row: "shell", What: "of the time a slot is held: " + part.what, Unit: "ms"}
		for _, s := range stays {
			f.Rounds = append(f.Rounds, part.of(s))
		}
		r.add(f)
	}
}

// script writes code to a file and gives the command that runs it.
func script(dir, code string) ([]string, error) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "script")
	return []string{sh, path, "20100101"}, os.WriteFile(path, []byte(code), 0o600)
}

// backfillRate runs one backfill and gives how many instances ended a second.
func (c *cluster) backfillRate(ctx context.Context, round, dates, nodes int) (rate float64, id string, err error) {
	sub, err := c.client.Submit(ctx, request(round, dates), "")
	if err != nil {
		return 0, "", err
	}
	start := time.Now()
	end, err := c.finished(ctx, sub.ID)
	if err != nil {
		return 0, "", err
	}
	return float64(dates*nodes) / end.Sub(start).Seconds(), sub.ID, nil
}

// stamping is a script that says first when it begins and last when it ends.
func stamping(file string) string {
	return fmt.Sprintf("date \"+b $BACKFLEET_INSTANCE $BACKFLEET_FENCE %%s%%N\" >>%[1]s\ndate \"+e $BACKFLEET_INSTANCE $BACKFLEET_FENCE %%s%%N\" >>%[1]s\n", file)
}

// stamp is a line of such a script, or of the failover's.
type stamp struct {
	kind     string
	instance string
	fence    uint64
	at       time.Time
}

func readStamps(file string) ([]stamp, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []stamp
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			return nil, fmt.Errorf("a script wrote %q, expected four words", line)
		}
		fence, _ := strconv.ParseUint(f[2], 10, 64)
		ns, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a script wrote %q: %w", line, err)
		}
		out = append(out, stamp{f[0], f[1], fence, time.Unix(0, ns)})
	}
	return out, nil
}

// measureHandoff runs chains of nodes on an idle cluster, one link at a time:
// from the last thing that an upstream did to the first thing that what waits
// for it does. The bound has the same script at both ends: one after another,
// barely forked, and a commit in between.
func measureHandoff(ctx context.Context, r *run) (err error) {
	c, err := r.cluster(ctx, 1, 4)
	if err != nil {
		return err
	}
	defer func() { err = c.close(err) }()
	const nodes = 21
	dates := max(1, r.o.links/(nodes-1))
	file := filepath.Join(r.dir, "stamps")
	code := stamping(file)
	if err := c.apply(ctx, graph(nodes, nodes, func(int) string { return code })); err != nil {
		return err
	}
	req := request(0, dates)
	req.Groups = 1
	sub, err := c.client.Submit(ctx, req, "")
	if err != nil {
		return err
	}
	if _, err := c.finished(ctx, sub.ID); err != nil {
		return err
	}
	gaps, err := r.gapsOf(file, dates*nodes, func(i int) bool { return i%nodes != 0 })
	if err != nil {
		return err
	}
	bare, err := r.bareGaps(ctx, 200)
	if err != nil {
		return err
	}
	commit, err := r.commitBound()
	if err != nil {
		return err
	}
	r.say("handoff: %d links; a bare gap %.1f ms, a commit %.1f ms", len(gaps), median(bare), commit)
	for _, p := range []struct{ percent, target float64 }{{50, 10}, {99, 50}} {
		r.add(Figure{
			Row: "handoff", What: fmt.Sprintf("end of an upstream to start of what waits, p%.0f of %d", p.percent, len(gaps)), Unit: "ms",
			Value: percentile(gaps, p.percent), Target: atMost(p.target),
			Bound: &Bound{"bare fork and exec of the same script, and one commit", percentile(bare, p.percent) + commit},
		})
	}
	return nil
}

// gapsOf reads the stamps of scripts that ran one after another and gives, in
// milliseconds, the gaps before those that count.
func (r *run) gapsOf(file string, n int, counts func(i int) bool) ([]float64, error) {
	defer os.Remove(file)
	stamps, err := readStamps(file)
	if err != nil {
		return nil, err
	}
	if len(stamps) != 2*n {
		return nil, fmt.Errorf("%d scripts stamped %d times, expected twice each", n, len(stamps))
	}
	var gaps []float64
	for i := 1; i < n; i++ {
		if gap := stamps[2*i].at.Sub(stamps[2*i-1].at); counts(i) {
			gaps = append(gaps, ms(gap))
		}
	}
	return gaps, nil
}

func (r *run) bareGaps(ctx context.Context, n int) ([]float64, error) {
	file := filepath.Join(r.dir, "barestamps")
	argv, err := script(r.dir, "BACKFLEET_INSTANCE=- BACKFLEET_FENCE=0\n"+stamping(file))
	if err != nil {
		return nil, err
	}
	if _, err := (&forker{dir: r.dir, argv: argv}).rate(ctx, n, 1); err != nil {
		return nil, err
	}
	return r.gapsOf(file, n, func(int) bool { return true })
}
