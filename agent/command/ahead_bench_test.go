package command_test

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// BenchmarkAhead runs real attempts through all processes of an agent of 16
// slots, whose leader grants work ahead as a coordinator does, and the same
// script barely, with a pipe each and as many at a time, by turns in one run. It
// tells both rates and their ratio, and the agent's own processor time an
// attempt beyond what the bare one costs.
func BenchmarkAhead(b *testing.B) {
	const slots, ahead, rounds = 16, 48, 4
	l, data := lead(b, &wire.Welcome{LeaseMs: 15_000, RenewMs: 3000, MarginMs: 3000, AheadMs: 250}, ""), b.TempDir()
	w := &ledger{slots: slots, ahead: ahead, held: map[attempt.Key]bool{}, done: make(chan struct{}, 1)}
	l.mu.Lock()
	l.turn = w.turn
	l.mu.Unlock()
	p := agentOf(b, slots, data, l.address)
	l.hello()
	go func() { // nobody waits for results one by one
		for range l.results {
		}
	}()
	w.give(l, 1)
	keeper := keeperOf(b, data)
	pids := []int{p.Process.Pid, keeper, guardOf(b, keeper)}
	var bare, agent [2]time.Duration // of the clock, and of the processors
	var each [3]time.Duration
	per := max(b.N/rounds, 1)
	for range rounds {
		begin, used := time.Now(), self(b)
		runBare(b, per, slots)
		bare[0], bare[1] = bare[0]+time.Since(begin), bare[1]+self(b)-used

		begin, used = time.Now(), cpu(b, keeper).children
		var before [3]time.Duration
		for i, pid := range pids {
			before[i] = busy(b, pid)
		}
		w.give(l, per)
		agent[0], agent[1] = agent[0]+time.Since(begin), agent[1]+cpu(b, keeper).children-used
		for i, pid := range pids {
			each[i] += busy(b, pid) - before[i]
		}
	}
	n := float64(rounds * per)
	micros := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	b.ReportMetric(n/bare[0].Seconds(), "bare/s")
	b.ReportMetric(n/agent[0].Seconds(), "attempts/s")
	b.ReportMetric(bare[0].Seconds()/agent[0].Seconds(), "of-bare")
	b.ReportMetric(micros(bare[1]), "µs-bare")
	b.ReportMetric(micros(agent[1]), "µs-child")
	for i, name := range []string{"µs-session", "µs-keeper", "µs-guard"} {
		b.ReportMetric(micros(each[i]), name)
	}
	b.ReportMetric(micros(agent[1]+each[0]+each[1]+each[2]-bare[1]), "µs-beyond")
	b.ReportMetric(float64(w.recalled.Load())/n, "recalled")
}

// ledger is what a leader keeps of one agent: free slots first, then ahead.
type ledger struct {
	slots, ahead int
	recalled     atomic.Int64
	done         chan struct{}

	mu     sync.Mutex
	held   map[attempt.Key]bool // ahead
	next   uint64
	left   int // to be granted
	queued int // of held
}

// turn takes in a report and grants what there is room for.
func (w *ledger) turn(r *wire.Report) *wire.Assign {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ref := range r.Started {
		if k := attempt.KeyOf(ref); w.held[k] {
			w.held[k] = false
			w.queued--
		}
	}
	for _, result := range r.Results {
		k := attempt.KeyOf(result.Ref)
		if w.held[k] {
			w.queued--
		}
		delete(w.held, k)
		if result.Outcome == wire.Outcome_RECALLED {
			w.recalled.Add(1)
			w.left++
		}
	}
	if len(w.held) == 0 && w.left == 0 {
		select {
		case w.done <- struct{}{}:
		default:
		}
	}
	return w.grant()
}

func (w *ledger) grant() *wire.Assign {
	a := &wire.Assign{Definitions: []*wire.Definition{{Id: 1, Node: &wire.Node{Id: "n", Type: "shell", Code: "echo done"}, ResourceGroup: "default"}}}
	for ; w.left > 0; w.left-- {
		ahead := len(w.held)-w.queued >= w.slots
		if ahead && w.queued >= w.ahead {
			break
		}
		w.next++
		k := key(w.next)
		if w.held[k] = ahead; ahead {
			w.queued++
		}
		a.Work = append(a.Work, &wire.Work{Ref: k.Ref(), Definition: 1, DataTimestamp: 17733, ScheduledDate: 17734, Ahead: ahead})
	}
	return a
}

// give has n attempts run, and waits for their ends.
func (w *ledger) give(l *leader, n int) {
	select {
	case <-w.done:
	default:
	}
	w.mu.Lock()
	w.left = n
	a := w.grant()
	w.mu.Unlock()
	l.mu.Lock()
	err := l.stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}})
	l.mu.Unlock()
	if err != nil {
		l.t.Fatal(err)
	}
	<-w.done
}

// runBare runs n processes, some at a time, as barely as it can be done in Go.
func runBare(b *testing.B, n, width int) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range width {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				read, write, err := os.Pipe()
				if err != nil {
					b.Error(err)
					return
				}
				p, err := os.StartProcess(sh, []string{"sh", "-c", "echo done"}, &os.ProcAttr{
					Files: []*os.File{nil, write, write}, Sys: &syscall.SysProcAttr{Setpgid: true}})
				write.Close()
				if err == nil {
					_, _ = io.Copy(io.Discard, read)
					_, err = p.Wait()
				}
				read.Close()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// self is the processor time of this process and of its children that ended.
func self(b *testing.B) (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// busy is the processor time of a process, finer than /proc tells it.
func busy(b *testing.B, pid int) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil { // as clock_getcpuclockid(3) does
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
