package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"backfleet/agent/executor"
	"backfleet/pkg/wire"
)

func TestWhereSecretsAreFound(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "secrets")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "hunter2\n")
	write("bare", "hunter2")
	write("lines", "two\nlines\r\n")
	write("newline", "\n")
	write("empty", "")
	write("large", strings.Repeat("x", 1<<20))
	write("too large", strings.Repeat("x", 1<<20+1))
	write("team/dw", "below\n")
	write("..data/mounted", "of a volume\n")
	write("../outside", "not yours\n")
	for name, to := range map[string]string{"mounted": "..data/mounted", "out": "../outside", "absolute": filepath.Join(dir, "outside"), "loop": "loop", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"BACKFLEET_SECRET_DW=first", "BACKFLEET_SECRET_DW=hunter2", "BACKFLEET_SECRET_EMPTY=", "BACKFLEET_TOKEN=not yours", "HOME=/root"}
	for name, c := range map[string]struct {
		secret *wire.Secret
		want   string
		cause  string
	}{
		"a variable":         {&wire.Secret{Environment: "BACKFLEET_SECRET_DW"}, "hunter2", ""},
		"no such variable":   {&wire.Secret{Environment: "BACKFLEET_SECRET_GONE"}, "", "this agent has no variable BACKFLEET_SECRET_GONE; set it"},
		"an empty one":       {&wire.Secret{Environment: "BACKFLEET_SECRET_EMPTY"}, "", "variable BACKFLEET_SECRET_EMPTY is empty on this agent"},
		"the agent's own":    {&wire.Secret{Environment: "BACKFLEET_TOKEN"}, "", "BACKFLEET_TOKEN is not for secrets: expected a name that begins with BACKFLEET_SECRET_"},
		"any other":          {&wire.Secret{Environment: "HOME"}, "", "HOME is not for secrets"},
		"a file":             {&wire.Secret{File: "plain"}, "hunter2", ""},
		"without a newline":  {&wire.Secret{File: "bare"}, "hunter2", ""},
		"one newline is cut": {&wire.Secret{File: "lines"}, "two\nlines", ""},
		"below":              {&wire.Secret{File: "team/dw"}, "below", ""},
		"a link inside":      {&wire.Secret{File: "mounted"}, "of a volume", ""},
		"as large as can be": {&wire.Secret{File: "large"}, strings.Repeat("x", 1<<20), ""},
		"larger":             {&wire.Secret{File: "too large"}, "", "expected at most 1048576 bytes"},
		"no such file":       {&wire.Secret{File: "gone"}, "", `there is no file "gone" in this agent's folder of secrets, ` + folder + "; put it there"},
		"an empty file":      {&wire.Secret{File: "empty"}, "", "file empty is empty on this agent"},
		"a newline alone":    {&wire.Secret{File: "newline"}, "", "file newline is empty on this agent"},
		"a folder":           {&wire.Secret{File: "team"}, "", "expected a file, found something else"},
		"a pipe":             {&wire.Secret{File: "pipe"}, "", "expected a file, found something else"},
		"above":              {&wire.Secret{File: "../outside"}, "", "expected a name inside the agent's folder"},
		"above, from below":  {&wire.Secret{File: "team/../../outside"}, "", "expected a name inside the agent's folder"},
		"an absolute path":   {&wire.Secret{File: filepath.Join(dir, "outside")}, "", "expected a name inside the agent's folder"},
		"a link out":         {&wire.Secret{File: "out"}, "", `file "out" in this agent's folder of secrets, ` + folder + ", cannot be used"},
		"an absolute link":   {&wire.Secret{File: "absolute"}, "", "cannot be used"},
		"a linked folder":    {&wire.Secret{File: "up/outside"}, "", "cannot be used"},
		"a link to itself":   {&wire.Secret{File: "loop"}, "", "cannot be used"},
		"neither":            {&wire.Secret{}, "", "expected a variable or a file, found both or none"},
		"both":               {&wire.Secret{File: "plain", Environment: "BACKFLEET_SECRET_DW"}, "", "expected a variable or a file, found both or none"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := executor.Secrets{Folder: folder, Environ: environ}.Read(c.secret)
			if got != c.want || (err == nil) != (c.cause == "") {
				t.Fatalf("got %.40q (%v), want %.40q", got, err, c.want)
			}
			if err != nil && (!strings.Contains(err.Error(), c.cause) || strings.Contains(err.Error(), "not yours") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %v, want %s", err, c.cause)
			}
		})
	}
	if _, err := (executor.Secrets{}).Read(&wire.Secret{File: "plain"}); err == nil || !strings.Contains(err.Error(), "name one in its settings (secrets)") {
		t.Errorf("without a folder: %v", err)
	}
}

func TestAFolderOfSecretsThatIsGoneIsNamed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "gone")
	_, err := executor.Secrets{Folder: folder}.Read(&wire.Secret{File: "dw"})
	if err == nil || !strings.Contains(err.Error(), `"dw"`) || !strings.Contains(err.Error(), folder) {
		t.Errorf("%v, want the file and the folder named", err)
	}
}
