package faults

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/ops/demo/fleet"
)

var logMB = flag.Int("faults.log-mb", 24, "size of the log that is shipped while coordinators die, in MB")

// TestShippingOverCoordinatorChanges: coordinators are killed one after the
// other while an attempt writes a long log. What is read back, from each of them,
// is what the code wrote, to the byte. Where the agent's disk stood still for too
// long, and only there, a line says how much is missing.
func TestShippingOverCoordinatorChanges(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1})
	s.apply("writes", fmt.Sprintf(`i=0
until [ $i = %d ]; do
  i=$((i+1))
  head -c 786432 /dev/urandom | base64 -w 119
  echo $i >"$OUT/progress"
done | tee "$OUT/written"
trace end
`, *logMB))
	id := s.submit("writes", "2012-01-01")
	progress := func() (mb int) {
		text, _ := os.ReadFile(filepath.Join(s.Out, "progress"))
		_, _ = fmt.Sscan(string(text), &mb)
		return mb
	}
	for i := range 3 {
		s.Until("the log grows", func() bool { return progress() > i**logMB/4 })
		victim, err := s.Leader(s.Ctx)
		s.Must(err)
		s.Must(victim.Kill())
		_, err = s.Leader(s.Ctx)
		s.Must(err)
		s.Must(victim.Start())
	}
	s.Succeeded(id, 1)
	s.traced(1, 0)
	for _, server := range s.Servers { // some of them were away when the log ended
		var last error // of a read that came to an end
		err := fleet.Until(s.Ctx, "the whole log is kept", func(context.Context) (bool, error) {
			wrong, err := s.readBack(server, id+".0")
			if err == nil {
				last, err = wrong, wrong
			}
			return err == nil, err
		})
		if err != nil {
			s.T.Fatal(server, err, last)
		}
	}
}

// readBack reads a whole log from one coordinator as a person does, beside what
// was written. wrong is how they differ.
func (s *site) readBack(server, instance string) (wrong, err error) {
	cmd := exec.CommandContext(s.Ctx, binary, "instance", "logs", instance)
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+server)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	written, err := os.Open(filepath.Join(s.Out, "written"))
	if err != nil {
		return nil, err
	}
	defer written.Close()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	wrong = alike(written, out)
	_, _ = io.Copy(io.Discard, out)
	return wrong, cmd.Wait()
}

// alike holds what was read against what was written, all lines of which differ.
func alike(written, read io.Reader) error {
	want, got := bufio.NewScanner(written), bufio.NewScanner(read)
	missing := 0 // lines that may be, by what was read just before
	n := 0
	for got.Scan() {
		n++
		if _, note, found := strings.Cut(got.Text(), "backfleet: "); found { // behind the part of a line whose rest is missing, too
			if _, err := fmt.Sscanf(note, "%d lines dropped", &missing); err != nil {
				return fmt.Errorf("line %d: %q: %w", n, got.Text(), err)
			}
			continue
		}
		for same := false; !same; missing-- {
			if missing < 0 || !want.Scan() {
				return fmt.Errorf("line %d: read %q, and not what was written: %q", n, got.Text(), want.Text())
			}
			same = want.Text() == got.Text() || missing > 0 && strings.HasSuffix(want.Text(), got.Text())
		}
		missing = 0
	}
	for want.Scan() {
		if missing--; missing < 0 {
			return fmt.Errorf("it ends after %d lines, before %q was read", n, want.Text())
		}
	}
	return errors.Join(want.Err(), got.Err())
}

func TestAlikeExplainsEveryMissingLine(t *testing.T) {
	const written = "one\ntwo\nthree\nfour\n"
	for read, want := range map[string]string{
		written: "",
		"one\nbackfleet: 2 lines dropped: the disk\nfour\n": "",
		"one\ntbackfleet: 3 lines dropped: the disk\nour\n": "", // parts of lines are lines, too
		"one\ntwo\nbackfleet: 2 lines dropped: the disk\n":  "",
		"one\nbackfleet: 1 lines dropped: the disk\nfour\n": `line 3: read "four", and not what was written: "three"`,
		"one\nthree\nfour\n": `line 2: read "three", and not what was written: "two"`,
		"one\ntwo\nthree\n":  `it ends after 3 lines, before "four" was read`,
		"one\ntwo\nbackfleet: 1 lines dropped: the disk\n": `it ends after 3 lines, before "four" was read`,
		"one\none\ntwo\nthree\nfour\n":                     `line 2: read "one", and not what was written: "two"`,
		written + "five\n":                                 `line 5: read "five", and not what was written: ""`,
	} {
		got := ""
		if err := alike(strings.NewReader(written), strings.NewReader(read)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", read, got, want)
		}
	}
}
