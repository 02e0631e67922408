package sqltask

import (
	"os"
	"slices"
	"strings"
	"testing"

	"backfleet/agent/task/statement"
)

// read gives a file; empty if there is none.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func sorted(lines string) string {
	list := strings.Fields(lines)
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// dry says whether a script could be a transaction.
func dry(t *testing.T, dialect, code string) error {
	t.Helper()
	list, err := statement.Split(dialect, code)
	if err != nil {
		t.Fatal(err)
	}
	return within(dialect, list)
}
