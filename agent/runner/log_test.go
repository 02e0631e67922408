package runner

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/cri"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// readLog gives the segments and their bytes laid end to end.
func readLog(t *testing.T, base string) (segments []int, all []byte) {
	t.Helper()
	for n := 0; ; n++ {
		data, err := os.ReadFile(SegmentPath(base, n))
		if os.IsNotExist(err) {
			return segments, all
		}
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, len(data))
		all = append(all, data...)
	}
}

// plain undoes the format: what each stream carried, byte for byte.
func plain(t *testing.T, log []byte) (out [2]bytes.Buffer) {
	t.Helper()
	r := cri.NewReader(bytes.NewReader(log), 0)
	for {
		l, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b := &out[0]
		if l.Stream == cri.Stderr {
			b = &out[1]
		}
		b.Write(l.Text)
		if !l.Partial {
			b.WriteByte('\n')
		}
	}
}

// direct is a log writer whose blocks are written at once.
type direct struct{ logWriter }

func newDirect(base string, most int64, masked ...string) *direct {
	return &direct{newLog(base, most, masked)}
}

func (d *direct) take(stream int, data []byte, at time.Time) {
	if d.logWriter.take(stream, data, at); len(d.block) >= ShortLogBytes {
		d.put()
	}
}

func (d *direct) put() {
	if len(d.block) > 0 {
		d.files.put(d.lost, d.block, d.since)
		d.handed(nil)
	}
}

func (d *direct) flush(at time.Time) {
	d.finishParts(at)
	d.put()
}

func (d *direct) close(at time.Time, inMemory bool) []byte {
	log, whole := d.logWriter.close(at, inMemory)
	if !whole {
		d.put()
		d.files.close(at)
	}
	return log
}

func TestSegmentsAreFilledToTheLimitAndNoFurther(t *testing.T) {
	overhead := len(cri.AppendLine(nil, noon, cri.Stdout, false, nil))
	base := filepath.Join(t.TempDir(), "log")
	w := newDirect(base, DefaultLogBytes)
	const lines = 3072 // 3072 lines of 1024 bytes are 3 MiB to the byte
	for i := range lines + 1 {
		w.take(0, fmt.Appendf(nil, "%0*d\n", 1024-overhead, i), noon)
	}
	w.close(noon, false)
	segments, all := readLog(t, base)
	if len(segments) != 2 || segments[0] != SegmentBytes || segments[1] != 1024 {
		t.Fatalf("segments of %v bytes, want %d and 1024", segments, SegmentBytes)
	}
	if w.files.written != int64(len(all)) || WholeLines(base) != uint64(len(all)) {
		t.Fatalf("log of %d bytes, counted %d and %d", len(all), w.files.written, WholeLines(base))
	}

	// One byte more in the first line, and the last of the 3072 no longer fits.
	base = filepath.Join(t.TempDir(), "log")
	w = newDirect(base, DefaultLogBytes)
	w.take(0, fmt.Appendf(nil, "%0*d\n", 1025-overhead, 0), noon)
	for i := range lines - 1 {
		w.take(0, fmt.Appendf(nil, "%0*d\n", 1024-overhead, i), noon)
	}
	w.close(noon, false)
	if segments, _ = readLog(t, base); len(segments) != 2 || segments[0] != SegmentBytes-1023 || segments[1] != 1024 {
		t.Fatalf("segments of %v bytes, want %d and 1024", segments, SegmentBytes-1023)
	}
}

func TestWhatWasPrintedComesBackByteForByte(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	base := filepath.Join(t.TempDir(), "log")
	w := newDirect(base, DefaultLogBytes)
	var want [2]bytes.Buffer
	for range 3000 {
		piece := make([]byte, random.IntN(5000))
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		if random.IntN(4) == 0 {
			piece = bytes.ReplaceAll(piece, []byte{'\n'}, []byte{0}) // long lines
		}
		stream := random.IntN(2)
		want[stream].Write(piece)
		w.take(stream, piece, noon)
		if random.IntN(10) == 0 {
			w.flush(noon)
		}
	}
	w.close(noon, false)
	segments, all := readLog(t, base)
	got := plain(t, all)
	for i := range got {
		if !bytes.Equal(got[i].Bytes(), want[i].Bytes()) {
			t.Errorf("%s: %d bytes came back, %d were printed, or they differ", streams[i], got[i].Len(), want[i].Len())
		}
	}
	for _, n := range segments {
		if n > SegmentBytes {
			t.Errorf("a segment of %d bytes", n)
		}
	}
}

func TestUnfinishedLinesAreMarked(t *testing.T) {
	stamp := "2026-11-22T12:00:00.000000000Z "
	for name, c := range map[string]struct {
		do   func(*direct)
		want string
	}{
		"a line in two pieces is one line": {
			func(w *direct) { w.take(0, []byte("ab"), noon); w.take(0, []byte("cd\n"), noon) },
			stamp + "stdout F abcd\n",
		},
		"flushed in the middle it is two": {
			func(w *direct) {
				w.take(0, []byte("ab"), noon)
				w.flush(noon)
				w.take(0, []byte("cd\n"), noon)
			},
			stamp + "stdout P ab\n" + stamp + "stdout F cd\n",
		},
		"an end without a newline is partial": {
			func(w *direct) { w.take(1, []byte("ab"), noon) },
			stamp + "stderr P ab\n",
		},
		"16 KiB fit in one line": {
			func(w *direct) { w.take(0, []byte(strings.Repeat("x", lineBytes)+"\n"), noon) },
			stamp + "stdout F " + strings.Repeat("x", lineBytes) + "\n",
		},
		"one byte more does not": {
			func(w *direct) { w.take(0, []byte(strings.Repeat("x", lineBytes+1)+"\n"), noon) },
			stamp + "stdout P " + strings.Repeat("x", lineBytes) + "\n" + stamp + "stdout F x\n",
		},
		"empty lines count": {
			func(w *direct) { w.take(0, []byte("\n\n"), noon) },
			stamp + "stdout F \n" + stamp + "stdout F \n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), "log")
			w := newDirect(base, DefaultLogBytes)
			c.do(w)
			w.close(noon, false)
			if _, got := readLog(t, base); string(got) != c.want {
				t.Errorf("got %.200q, want %.200q", got, c.want)
			}
		})
	}
}

func TestR10_3_BeyondItsLimitALogDropsLinesAndSaysHowMany(t *testing.T) {
	base := filepath.Join(t.TempDir(), "log")
	w, r := newDirect(base, 1000), &Runner{}
	w.files.drops = &r.drops
	for range 100 {
		w.take(0, []byte("0123456789\n"), noon)
	}
	w.close(noon, false)
	_, all := readLog(t, base)
	lines := strings.Split(strings.TrimSuffix(string(all), "\n"), "\n")
	kept := len(lines) - 1
	want := fmt.Sprintf("backfleet: %d lines dropped: the log reached its limit of 1000 bytes", 100-kept)
	if kept < 10 || !strings.HasSuffix(lines[kept], want) {
		t.Errorf("%d lines kept, then %q; want %q at its end", kept, lines[kept], want)
	}
	if got := r.Dropped(); got != (Dropped{Limit: uint64(100 - kept)}) {
		t.Errorf("counted are %+v, expected %d for the limit", got, 100-kept)
	}
}

func TestR10_3_NothingSlipsInBehindADroppedLine(t *testing.T) {
	base := filepath.Join(t.TempDir(), "log")
	w := newDirect(base, 200)
	w.take(0, []byte("kept\n"+strings.Repeat("x", 200)+"\nshort\n"), noon)
	w.flush(noon)
	w.take(0, []byte("short too\n"), noon)
	w.close(noon, false)
	_, all := readLog(t, base)
	if got := string(all); strings.Contains(got, "short") || !strings.Contains(got, " kept\n") || !strings.Contains(got, "3 lines dropped") {
		t.Errorf("the log is %q, want the first line and the count of the other three", got)
	}
}

func TestAFullDiskDropsWholeLines(t *testing.T) {
	w, r := newDirect(filepath.Join(t.TempDir(), "log"), DefaultLogBytes), &Runner{}
	w.files.drops = &r.drops
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.files.file, w.files.next = full, 1
	w.take(0, []byte("lost\nlost too\n"), noon)
	w.flush(noon)
	if w.files.lost != 2 || w.files.written != 0 {
		t.Fatalf("dropped %d lines and wrote %d bytes, want 2 and 0", w.files.lost, w.files.written)
	}
	if got := r.Dropped(); got != (Dropped{Disk: 2}) {
		t.Errorf("counted are %+v, expected 2 for the disk", got)
	}
	w.take(0, []byte("kept\n"), noon) // there is room again
	w.close(noon, false)
	data, err := os.ReadFile(SegmentPath(w.files.base, 1))
	stamp := "2026-11-22T12:00:00.000000000Z "
	want := stamp + "stderr F backfleet: 2 lines dropped: no space left on device\n" + stamp + "stdout F kept\n"
	if err != nil || string(data) != want {
		t.Errorf("segment %q (%v), want the line kept behind the count of those dropped: %q", data, err, want)
	}
}

func TestR10_3_AShortLogInMemoryTellsOfDroppedLines(t *testing.T) {
	w, r := newDirect(filepath.Join(t.TempDir(), "log"), 300), &Runner{}
	w.files.drops = &r.drops
	for range 20 {
		w.take(0, []byte("0123456789\n"), noon)
	}
	log := w.close(noon, true)
	if got := r.Dropped(); got != (Dropped{Limit: 20 - uint64(bytes.Count(log, []byte("0123456789")))}) {
		t.Errorf("counted are %+v of 20 lines", got)
	}
	if !bytes.HasSuffix(log, []byte("lines dropped: the log reached its limit of 300 bytes\n")) || int(w.files.written) != len(log) {
		t.Errorf("the log is %q, of %d bytes; want the count of the dropped lines at its end", log, w.files.written)
	}
}

func TestALogThatGrowsTooLongWithItsLastLineIsAFile(t *testing.T) {
	base := filepath.Join(t.TempDir(), "log")
	overhead := len(cri.AppendLine(nil, noon, cri.Stdout, false, nil))
	w := newDirect(base, ShortLogBytes-10)
	for range 3 {
		w.take(0, append(bytes.Repeat([]byte("x"), (ShortLogBytes-20)/3-overhead), '\n'), noon)
	}
	w.take(0, []byte("one too many\n"), noon)
	log := w.close(noon, true)
	_, all := readLog(t, base)
	if len(log) > 0 || int(w.files.written) != len(all) || !bytes.Contains(all, []byte("1 lines dropped")) {
		t.Errorf("%d bytes are in memory and %d in the file, %d are counted; want all in the file", len(log), len(all), w.files.written)
	}
}

func TestAWriterThatDiedLeavesWholeLines(t *testing.T) {
	long := strings.Repeat("x", 3*lineBytes)
	for name, c := range map[string]struct {
		segments []string
		want     int
	}{
		"none":                       {nil, 0},
		"an empty one":               {[]string{""}, 0},
		"whole":                      {[]string{"one\n", "two\n"}, 8},
		"torn":                       {[]string{"one\n", "two\nthr"}, 8},
		"without a line":             {[]string{"one\n", "two"}, 4},
		"large":                      {[]string{strings.Repeat("one\n", 700_000), "two\n"}, 2_800_004},
		"a long tail that is broken": {[]string{"one\n" + long}, 4},
		"nothing but that":           {[]string{long}, 0},
	} {
		base := filepath.Join(t.TempDir(), "log")
		for n, text := range c.segments {
			if err := os.WriteFile(SegmentPath(base, n), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := WholeLines(base); got != uint64(c.want) {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}
