package runbooks

import (
	"os"
	"path/filepath"

	v1 "backfleet/api/v1"
)

// script makes a folder with one node of shell code.
func (s *stage) script(code, more string) string {
	s.T.Helper()
	dir := s.T.TempDir()
	text := "id: work\n" + more + "code: |\n  " + code + "\n"
	s.Must(os.WriteFile(filepath.Join(dir, "work.yaml"), []byte(text), 0o600))
	return dir
}

// asks submits a backfill of that node.
func (s *stage) asks(code, more string) {
	s.T.Helper()
	_, err := s.CLI("node", "apply", "-f", s.script(code, more))
	s.Must(err)
	id := s.Submit(v1.BackfillRequest{Root: "work", Mode: v1.ModeCurrent, Dates: []string{eightDays}})
	s.set("BACKFILL", id)
	s.set("INSTANCE", s.Instances(id)[0].ID)
}

func nobodyServes(s *stage) { s.asks("true", "resourceGroup: nightly\n") }

func failsEverywhere(s *stage) {
	s.asks("echo no >&2; exit 3", "retries: 0\n")
	s.set("FIXED", s.script("true", "retries: 0\n"))
}

func allDone(s *stage) { s.Succeeded("b1", 8) }
