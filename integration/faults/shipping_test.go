package faults

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	s.Must(fleet.Until(s.Ctx, "the whole log is kept", func(context.Context) (bool, error) {
		got, n, err := s.logSum(id + ".0")
		if err == nil && got != want {
			err = fmt.Errorf("of the log %d bytes are there, with sum %s, want %s", n, got, want)
		}
		return err == nil, err
	}))
}

// logSum reads a whole log as a person does.
func (s *site) logSum(instance string) (sum string, n int64, err error) {
	cmd := exec.CommandContext(s.Ctx, binary, "instance", "logs", instance)
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(s.Servers, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err = io.Copy(h, out)
	if e := cmd.Wait(); err == nil {
		err = e
	}
	return hex.EncodeToString(h.Sum(nil)), n, err
}
