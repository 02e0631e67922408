package runner

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stuckDisk makes the first segment of a log a pipe: whoever opens it hangs
// until somebody reads it, as on a disk that does not answer.
func stuckDisk(t *testing.T, base string) (release func() []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(SegmentPath(base, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		f, err := os.Open(SegmentPath(base, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

var gap = regexp.MustCompile(`^backfleet: (\d+) lines dropped: (.*)$`)

// gaps looks at a log of numbered lines, which no flush has divided: what is there is in order, and what is
// not is counted where it would be.
func gaps(t *testing.T, log []byte, lines int) (missing int, causes []string) {
	t.Helper()
	next := 1
	got := plain(t, log)
	var said int
	for _, line := range bytes.Split(bytes.TrimSuffix(got[1].Bytes(), []byte{'\n'}), []byte{'\n'}) {
		if m := gap.FindSubmatch(line); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			said, causes = said+n, append(causes, string(m[2]))
		}
	}
	for _, line := range bytes.Fields(got[0].Bytes()) {
		n, err := strconv.Atoi(string(bytes.TrimLeft(line, "x")))
		if err != nil || n < next {
			t.Fatalf("line %q comes where %d or a later one was expected", line, next)
		}
		missing, next = missing+n-next, n+1
	}
	if missing += lines + 1 - next; missing != said {
		t.Errorf("%d lines are missing, and the log says %d (%q)", missing, said, causes)
	}
	return missing, causes
}

// many prints numbered lines of some length, and leaves a file when it is done.
const many = `seq -f 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%%.0f' 1 %d; : > done`

func TestR10_3_ADiskThatHangsBlocksAProcessForABoundedTime(t *testing.T) {
	const bound, lines = 300 * time.Millisecond, 300_000
	r := newRunner(t, Config{BlockFor: bound, FlushEvery: time.Hour})
	spec := script(t, fmt.Sprintf(many, lines)) // some 35 MB of log
	release := stuckDisk(t, spec.Log)
	begin := time.Now()
	e := start(t, r, spec)
	awaitFile(t, filepath.Join(spec.Dir, "done"))
	took := time.Since(begin)
	if took < bound {
		t.Errorf("it was done after %s: it did not wait for the disk", took)
	}
	// Meanwhile the others go on.
	other := script(t, "echo fine; exit 3")
	if x, log := run(t, r, other); x.Status.ExitStatus() != 3 || !bytes.HasSuffix(log, []byte(" fine\n")) {
		t.Errorf("another process: %+v %q", x, log)
	}
	select {
	case x := <-e.exit:
		t.Fatalf("its end was announced with a log that is nowhere: %+v", x)
	default:
	}
	first := release()
	x := e.wait(t)
	rest := []byte(nil)
	for n := 1; ; n++ {
		data, err := os.ReadFile(SegmentPath(spec.Log, n))
		if err != nil {
			break
		}
		rest = append(rest, data...)
	}
	log := append(first, rest...)
	if uint64(len(log)) != x.LogBytes || x.Status.ExitStatus() != 0 || x.Left {
		t.Errorf("%d bytes of log are there; %+v", len(log), x)
	}
	missing, causes := gaps(t, log, lines)
	if missing == 0 || missing == lines || causes[0] != errSlow.Error() {
		t.Errorf("%d lines are missing because of %q", missing, causes)
	}
	t.Logf("done after %s with a bound of %s, %d of %d lines missing", took, bound, missing, lines)
}

func awaitFile(t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); ; <-tick.C {
		if _, err := os.Stat(name); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not there within 60 s", name)
		}
	}
}

// What waits is not dropped if the disk comes back in time.
func TestADiskThatHangsForAShortWhileLosesNothing(t *testing.T) {
	const lines = 150_000
	r := newRunner(t, Config{BlockFor: time.Minute, FlushEvery: time.Hour})
	spec := script(t, fmt.Sprintf(many, lines))
	release := stuckDisk(t, spec.Log)
	e := start(t, r, spec)
	for blocked := make(chan bool, 1); ; {
		if err := r.queued(fork{do: func() { blocked <- len(r.blocked) > 0 }}); err != nil {
			t.Fatal(err)
		}
		if <-blocked {
			break
		}
	}
	log := release()
	x := e.wait(t)
	for n := 1; ; n++ {
		data, err := os.ReadFile(SegmentPath(spec.Log, n))
		if err != nil {
			break
		}
		log = append(log, data...)
	}
	if missing, _ := gaps(t, log, lines); missing != 0 || uint64(len(log)) != x.LogBytes {
		t.Errorf("%d lines are missing; %d bytes of %d", missing, len(log), x.LogBytes)
	}
}

func TestR10_3_AFullDiskCostsLinesAndNoTime(t *testing.T) {
	const lines = 50_000
	for name, full := range map[string]int{"for a while": 40, "for good": 1000} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, Config{FlushEvery: time.Hour})
			spec := script(t, fmt.Sprintf(many, lines)+"; exit 5")
			if err := os.MkdirAll(filepath.Dir(spec.Log), 0o700); err != nil {
				t.Fatal(err)
			}
			for n := range full { // each write that fails goes on to the next
				if err := os.Symlink("/dev/full", SegmentPath(spec.Log, n)); err != nil {
					t.Fatal(err)
				}
			}
			x := start(t, r, spec).wait(t)
			if x.Status.ExitStatus() != 5 {
				t.Errorf("exit status %d, want 5", x.Status.ExitStatus())
			}
			var log []byte
			for n := full; ; n++ {
				data, err := os.ReadFile(SegmentPath(spec.Log, n))
				if err != nil {
					break
				}
				log = append(log, data...)
			}
			if uint64(len(log)) != x.LogBytes {
				t.Errorf("%d bytes of log are there, %d were announced", len(log), x.LogBytes)
			}
			if full == 1000 {
				if x.LogBytes != 0 {
					t.Errorf("a log of %d bytes on a full disk", x.LogBytes)
				}
				return
			}
			if missing, causes := gaps(t, log, lines); missing == 0 || missing == lines || causes[0] != "no space left on device" {
				t.Errorf("%d lines are missing because of %q", missing, causes)
			}
		})
	}
}

// The line that tells of the others finds room in the file's last block.
func TestR10_3_AFileThatMayNotGrowTellsWhatItLacks(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	const most = 5 * blockBytes
	base, lines := filepath.Join(t.TempDir(), "log"), 0
	w := newDirect(base, DefaultLogBytes)
	more := func(n int) {
		for range n {
			lines++
			w.take(0, fmt.Appendf(nil, "xxxxxxxxxxxxxxxxx%d\n", lines), noon)
		}
		w.put()
	}
	func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &before) }()
		more(100)
		more(400)
		w.close(noon, false)
	}()
	segments, log := readLog(t, base)
	missing, causes := gaps(t, log, lines)
	if len(segments) != 1 || segments[0] > most || segments[0] < most-2*noteBytes || missing == 0 || len(causes) != 1 || causes[0] != "file too large" {
		t.Errorf("segments of %v bytes, %d lines missing because of %q", segments, missing, causes)
	}
	if int(w.files.written) != len(log) {
		t.Errorf("%d bytes are counted, %d are there", w.files.written, len(log))
	}
}

// The same on a disk of its own, where one can be mounted (as root):
// TestR10_3_AFileThatMayNotGrowTellsWhatItLacks needs no rights.
func TestR10_3_AFullDiskHasRoomForTheCount(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Logf("no disk can be mounted here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	const lines = 50_000
	r := newRunner(t, Config{FlushEvery: time.Hour})
	spec := script(t, fmt.Sprintf(many, lines)+"; exit 5")
	spec.Log = filepath.Join(dir, "log")
	x := start(t, r, spec).wait(t)
	_, log := readLog(t, spec.Log)
	missing, causes := gaps(t, log, lines)
	if uint64(len(log)) != x.LogBytes || x.Status.ExitStatus() != 5 || missing == 0 || len(causes) != 1 || causes[0] != "no space left on device" {
		t.Errorf("%+v, %d bytes are there, %d lines missing because of %q", x, len(log), missing, causes)
	}

	// Line by line, each of which would find room where the count is to stand; and
	// then there is room.
	if err := os.Remove(SegmentPath(spec.Log, 0)); err != nil {
		t.Fatal(err)
	}
	w, n := newDirect(filepath.Join(dir, "other"), DefaultLogBytes), 0
	more := func(count, each int) {
		for range count {
			for range each {
				n++
				w.take(0, fmt.Appendf(nil, "xxxxxxxxxxxxxxxxx%d\n", n), noon)
			}
			w.put()
		}
	}
	more(1000, 20)
	more(200, 1)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	more(10, 5)
	w.close(noon, false)
	_, log = readLog(t, filepath.Join(dir, "other"))
	if missing, causes := gaps(t, log, n); missing == 0 || len(causes) != 1 || !bytes.HasSuffix(log, fmt.Appendf(nil, "x%d\n", n)) {
		t.Errorf("%d lines are missing because of %q; the log ends %q", missing, causes, log[len(log)-80:])
	}
}
