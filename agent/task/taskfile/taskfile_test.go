package taskfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/task/taskfile"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestATaskIsReadAsItWasWritten(t *testing.T) {
	task := &wire.Task{Node: &wire.Node{Id: "n", Type: "sql", Code: "SELECT 'é'"}, Fence: 1 << 60,
		Sources: []*wire.OpenSource{{Source: &wire.DataSource{Name: "dw"}, Password: "p\"'", Ca: []byte{0, 0xff}}}}
	text, err := taskfile.Text(task)
	if err != nil || !utf8.ValidString(text) {
		t.Fatalf("%q (%v), want a text", text, err)
	}
	path := filepath.Join(t.TempDir(), "task")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	if got, err := taskfile.Read(path); err != nil || !proto.Equal(got, task) {
		t.Errorf("got %v (%v), want %v", got, err, task)
	}
	for _, broken := range []string{"", "\n", "echo hello", text[:len(text)/2], "AAAA"} {
		write(broken)
		if _, err := taskfile.Read(path); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "started by agents") {
			t.Errorf("%.20q: %v", broken, err)
		}
	}
	if _, err := taskfile.Read(path + ".none"); err == nil || !strings.Contains(err.Error(), "task.none") {
		t.Errorf("%v, want the file's name", err)
	}
}
