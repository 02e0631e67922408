package logs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/runner"
	"backfleet/pkg/cri"
	"backfleet/pkg/wire"
)

var longLog = flag.Int64("logs.bytes", 32<<20, "what the process with the long log prints")

// count is what is known of the output of a process on one stream.
type count struct {
	Bytes, Lines int64
	Sum          []byte
	hash         hash.Hash
}

func (c *count) Write(p []byte) (int, error) {
	if c.hash == nil {
		c.hash = sha256.New()
	}
	c.Bytes += int64(len(p))
	c.Lines += int64(bytes.Count(p, []byte{'\n'}))
	return c.hash.Write(p)
}

// seal gives the count with its sum.
func (c *count) seal() count {
	_, _ = c.Write(nil)
	return count{Bytes: c.Bytes, Lines: c.Lines, Sum: c.hash.Sum(nil)}
}

// TestMain is also the program of the attempts: "print KIND BYTES FILE" prints
// about so many bytes, and leaves its own counts of both streams in the file.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "print" {
		if err := printOut(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func printOut(kind, bytes, file string) error {
	total, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil {
		return err
	}
	var counts [2]count
	out := bufio.NewWriterSize(io.MultiWriter(os.Stdout, &counts[0]), 64<<10)
	errs := io.MultiWriter(os.Stderr, &counts[1])
	random := rand.NewChaCha8([32]byte{1})
	raw := make([]byte, 4096)
	for written, i := int64(0), 0; written < total && err == nil; i++ {
		n := 0
		switch kind {
		case "text":
			n, err = fmt.Fprintf(out, "%09d INFO loader: table dwd_orders partition %d: %d rows, checksum %016x\n", i, i%97, i*7919%100_003, random.Uint64())
		case "binary":
			_, _ = random.Read(raw)
			n, err = out.Write(raw)
		case "endless": // no newline
			n, err = fmt.Fprintf(out, "%d,%x;", i, random.Uint64())
		}
		if written += int64(n); err == nil && i%5000 == 0 {
			_, err = fmt.Fprintf(errs, "%d so far\n", written)
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal([2]count{counts[0].seal(), counts[1].seal()})
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// printer is the test program as an attempt.
func (s *site) printer(kind string, bytes int64) (spec runner.Spec, counts string) {
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	counts = filepath.Join(s.t.TempDir(), "counts")
	return runner.Spec{Path: self, Args: []string{self, "print", kind, strconv.FormatInt(bytes, 10), counts}, Dir: s.dir, LogMax: 8 << 30}, counts
}

// want holds what is read on a coordinator against what the process counted.
func (s *site) want(c *coordinator, key attempt.Key, counts string) {
	s.t.Helper()
	data, err := os.ReadFile(counts)
	if err != nil {
		s.t.Fatal(err)
	}
	var want [2]count
	if err := json.Unmarshal(data, &want); err != nil {
		s.t.Fatal(err)
	}
	var got [2]count
	last := time.Time{}
	lines := cri.NewReader(read(c, key), 0)
	for {
		l, err := lines.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if l.Time.Before(last) {
			s.t.Fatalf("a line of %s behind one of %s", l.Time, last)
		}
		last = l.Time
		to := &got[0]
		if l.Stream == cri.Stderr {
			to = &got[1]
		}
		_, _ = to.Write(l.Text)
		if !l.Partial {
			_, _ = to.Write([]byte{'\n'})
		}
	}
	for i, name := range []string{"stdout", "stderr"} {
		if g := got[i].seal(); g.Bytes != want[i].Bytes || g.Lines != want[i].Lines || !bytes.Equal(g.Sum, want[i].Sum) {
			s.t.Errorf("%s: %d bytes in %d lines with sum %x are read, the process counted %d in %d with sum %x",
				name, g.Bytes, g.Lines, g.Sum[:4], want[i].Bytes, want[i].Lines, want[i].Sum[:4])
		}
	}
}

// heap watches how much memory is in use until stop.
func heap() (stop func() (most uint64)) {
	quit, result := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-quit:
				tick.Stop()
				result <- most
				return
			default:
			}
		}
	}()
	return func() uint64 { close(quit); return <-result }
}

// heapMost is what the agent's and three coordinators' parts may use together,
// garbage included, for a log of up to heapLog bytes. Nearly all of it is of the
// engines that build tables, which are the larger the more is stored.
const (
	heapMost = 512 << 20
	heapLog  = 64 << 20
)

// RULES R10.3, R13.1: a long log, of whatever bytes, is stored as it was
// printed, and can be read on each coordinator.
func TestALongLogComesBackByteForByte(t *testing.T) {
	for _, kind := range []string{"text", "binary", "endless"} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			s.ship()
			memory := heap()
			begin := time.Now()
			spec, counts := s.printer(kind, *longLog)
			p := s.run(1, spec)
			x := p.wait(10 * time.Minute)
			ended := time.Since(begin)
			s.awaitSafe(1, 10*time.Minute)
			safe := time.Since(begin)
			most := memory()
			if x.Status.ExitStatus() != 0 || x.Left {
				t.Errorf("it ended with %+v", x)
			}
			segments, err := filepath.Glob(p.base + ".*.log")
			if err != nil || len(segments) < int(x.LogBytes/runner.SegmentBytes) {
				t.Errorf("%d segments, %v", len(segments), err)
			}
			for i, name := range segments {
				if info, err := os.Stat(name); err != nil || info.Size() > runner.SegmentBytes || i < len(segments)-1 && info.Size() < runner.SegmentBytes-17<<10 {
					t.Errorf("segment %s: %v bytes, %v; want %d, less what a line takes", name, info.Size(), err, runner.SegmentBytes)
				}
			}
			reading := time.Now()
			for _, c := range s.coordinators {
				s.want(c, p.key, counts)
			}
			took := time.Since(reading) / time.Duration(len(s.coordinators))
			mb := float64(x.LogBytes) / 1e6
			t.Logf("%.0f MB of log: the process ended after %.1f s, all was on a majority after %.1f s (%.1f MB/s), read in %.1f s; %d MB of heap at most",
				mb, ended.Seconds(), safe.Seconds(), mb/safe.Seconds(), took.Seconds(), most>>20)
			if most > heapMost && *longLog <= heapLog {
				t.Errorf("%d MB of heap were in use, want at most %d", most>>20, heapMost>>20)
			}
		})
	}
}

// Ten thousand short logs: half of them in memory, as they come with their
// results, half in files.
func TestTenThousandSmallLogs(t *testing.T) {
	const n = 10_000
	s := newSite(t)
	s.ship()
	if err := os.MkdirAll(filepath.Join(s.dir, "kept"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := func(i int) []byte {
		return cri.AppendLine(nil, time.Unix(int64(i), 0), cri.Stdout, false, fmt.Appendf(nil, "log %d%s", i, bytes.Repeat([]byte{'.'}, i%50)))
	}
	key := func(i int) attempt.Key { return attempt.Key{Plan: 2, Instance: uint64(i), Attempt: 1, Fence: 7} }
	begin := time.Now()
	for i := range n {
		m := &wire.KeptAttempt{Ref: key(i).Ref(), LogBytes: uint64(len(text(i)))}
		if i%2 == 0 {
			m.Log = text(i)
		} else {
			m.LogDirectory = filepath.Join(s.dir, "kept", key(i).Folder())
			if err := os.WriteFile(runner.SegmentPath(m.LogDirectory, 0), text(i), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.tell(m)
	}
	s.awaitSafe(n, 5*time.Minute)
	t.Logf("%d logs are safe after %s", n, time.Since(begin))
	for i := range n {
		if got, err := io.ReadAll(read(s.coordinators[i%3], key(i))); err != nil || !bytes.Equal(got, text(i)) {
			t.Fatalf("log %d: %q, %v; want %q", i, got, err, text(i))
		}
	}
}

// A process does not wait for coordinators, and its log is there when they are.
func TestNoCoordinatorTakesLogs(t *testing.T) {
	s := newSite(t)
	for _, c := range s.coordinators {
		c.vanish()
	}
	s.ship()
	begin := time.Now()
	spec, counts := s.printer("text", *longLog)
	p := s.run(1, spec)
	p.wait(5 * time.Minute)
	t.Logf("without a coordinator it ended after %s", time.Since(begin))
	s.mu.Lock()
	safe := len(s.safe)
	s.mu.Unlock()
	if safe > 0 {
		t.Fatal("its log is said to be safe")
	}
	for _, c := range s.coordinators {
		c.serve(t)
	}
	s.awaitSafe(1, 5*time.Minute)
	for _, c := range s.coordinators {
		s.want(c, p.key, counts)
	}
}

// Whatever breaks while a log is shipped, it goes on without gap or double.
func TestShippingGoesOnAfterEachBreak(t *testing.T) {
	s := newSite(t)
	stop := s.ship()
	spec, counts := s.printer("text", *longLog)
	p := s.run(1, spec)
	for i := range 9 {
		// Not before some more is kept: each break is in the middle.
		s.until(fmt.Sprintf("break %d", i), func() bool {
			sizes := make([]uint64, 3)
			for j, c := range s.coordinators {
				sizes[j], _, _ = c.reader.Size(t.Context(), read(c, p.key).key, false)
			}
			return slices.Max(sizes) >= uint64(*longLog)*uint64(i+1)/12
		})
		if c := s.coordinators[i%3]; i%4 == 3 {
			stop()
			stop = s.ship() // the next session
		} else {
			c.vanish()
			c.serve(t)
		}
	}
	p.wait(5 * time.Minute)
	s.awaitSafe(1, 5*time.Minute)
	for _, c := range s.coordinators {
		s.want(c, p.key, counts)
	}
}

func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(2 * time.Minute); !ok(); <-tick.C {
		if time.Now().After(late) {
			s.t.Fatalf("not within two minutes: %s", what)
		}
	}
}
