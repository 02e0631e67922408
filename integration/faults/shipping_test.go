package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
// other while an attempt writes a long log. What is read back is what the code
// counted, to the byte.
func TestShippingOverCoordinatorChanges(t *testing.T) {
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1})
	s.apply("writes", fmt.Sprintf(`i=0
mkfifo sum
sha256sum <sum | cut -d' ' -f1 >"$OUT/sum" &
until [ $i = %d ]; do
  i=$((i+1))
  head -c 786432 /dev/urandom | base64 -w 119
  echo $i >"$OUT/progress"
done | tee sum
wait
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
	text, err := os.ReadFile(filepath.Join(s.Out, "sum"))
	s.Must(err)
	want := strings.TrimSpace(string(text))
	for _, server := range s.Servers { // some of them were away when the log ended
		var short error // the last read that came to an end
		err = fleet.Until(s.Ctx, "the whole log is kept", func(context.Context) (bool, error) {
			got, n, gap, err := s.logSum(server, id+".0")
			switch {
			case err == nil && gap != "": // the agent's disk stood still: nothing that shipping could mend
				s.T.Fatalf("the log has a gap from its beginning on: %s", gap)
			case err == nil && got != want:
				short = fmt.Errorf("of the log %d bytes are there, with sum %s, want %s", n, got, want)
				err = short
			}
			return err == nil, err
		})
		if err != nil {
			s.T.Fatal(server, err, short)
		}
	}
}

// logSum reads a whole log from one coordinator as a person does. gap is a line
// that says that some were dropped.
func (s *site) logSum(server, instance string) (sum string, n int64, gap string, err error) {
	cmd := exec.CommandContext(s.Ctx, binary, "instance", "logs", instance)
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+server)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, "", err
	}
	h := sha256.New()
	lines := bufio.NewReader(out)
	for err == nil {
		var line []byte
		line, err = lines.ReadSlice('\n')
		_, _ = h.Write(line) // a hash takes everything
		if n += int64(len(line)); bytes.HasPrefix(line, []byte("backfleet: ")) {
			gap = string(line)
		}
	}
	if e := cmd.Wait(); errors.Is(err, io.EOF) {
		err = e
	}
	return hex.EncodeToString(h.Sum(nil)), n, gap, err
}
