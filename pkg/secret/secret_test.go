package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/wire"
)

func TestSecretsAreReadAndNeverRepeated(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hook", "whsec_abc\n")
	write("empty", "\n")
	p := Places{Folder: folder, Environ: []string{"BACKFLEET_SECRET_A=one", "BACKFLEET_SECRET_A=two", "HOME=/root", "BACKFLEET_SECRET_E="}, Whose: "coordinator"}
	for _, c := range []struct {
		where *wire.Secret
		want  string // or what the error says
	}{
		{&wire.Secret{Environment: "BACKFLEET_SECRET_A"}, "two"},
		{&wire.Secret{File: "hook"}, "whsec_abc"},
		{&wire.Secret{Environment: "HOME"}, "! is not for secrets"},
		{&wire.Secret{Environment: "BACKFLEET_SECRET_E"}, "! empty on this coordinator"},
		{&wire.Secret{Environment: "BACKFLEET_SECRET_NONE"}, "! this coordinator has no variable BACKFLEET_SECRET_NONE"},
		{&wire.Secret{File: "empty"}, "! empty on this coordinator"},
		{&wire.Secret{File: "../hook"}, "! inside the coordinator's folder"},
		{&wire.Secret{File: "none"}, "! there is no file \"none\" in this coordinator's folder"},
		{&wire.Secret{File: "hook", Environment: "BACKFLEET_SECRET_A"}, "! both or none"},
		{nil, "! both or none"},
	} {
		got, err := p.Read(c.where)
		if says, fails := strings.CutPrefix(c.want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v: %q, %v; expected an error that says %q", c.where, got, err, says)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%v: %q, %v; expected %q", c.where, got, err, c.want)
		}
	}
	if _, err := (Places{}).Read(&wire.Secret{File: "x"}); err == nil || !strings.Contains(err.Error(), "this agent has no folder") {
		t.Errorf("without a folder: %v", err)
	}
}
