package runner

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/task/metrics"
	"backfleet/pkg/wire"
)

// reporting is a script that finds the file of its metrics as $M.
func reporting(t testing.TB, code string) Spec {
	spec := script(t, code)
	spec.Metrics = filepath.Join(spec.Dir, metrics.File)
	spec.Env = append(spec.Env, "M="+spec.Metrics)
	return spec
}

func told(list []*wire.Metric) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, m.Name+"="+m.Value)
	}
	return strings.Join(parts, " ")
}

// TestWhatCodeReports: whatever it makes of the file, the process's end is told
// at once, and its log says what is wrong.
func TestWhatCodeReports(t *testing.T) {
	r := newRunner(t, Config{})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("key=of another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", secret)
	for name, c := range map[string]struct{ code, want, note string }{
		"nothing":                {`:`, "", ""},
		"metrics":                {`echo rows=3 >>"$M"; echo rows=4 >>"$M"; printf checksum=ab >>"$M"`, "rows=4 checksum=ab", ""},
		"and fails":              {`echo rows=3 >>"$M"; exit 3`, "rows=3", ""},
		"and is killed":          {`echo rows=3 >>"$M"; kill -9 $$`, "rows=3", ""},
		"nonsense":               {`echo hello >"$M"; echo a=1 >>"$M"`, "a=1", "1 of the lines are left out, the first is line 1: expected name=value"},
		"a secret":               {`echo token=hunter2 >"$M"; echo a=1 >>"$M"`, "token=******* a=1", ""},
		"no file":                {`mkdir "$M"`, "", "expected a file, found something else"},
		"a pipe":                 {`mkfifo "$M"`, "", "expected a file, found something else"},
		"a link":                 {`ln -s "$SECRET" "$M"`, "", "found a symbolic link"},
		"a link to a device":     {`ln -s /dev/zero "$M"`, "", "found a symbolic link"},
		"another name of a file": {`ln "$SECRET" "$M"`, "", "that the attempt has made"},
		"the folder is gone":     {`rm -rf "$PWD"`, "", ""},
		"a file in its place":    {`rm -rf "$PWD"; echo a=1 >"$PWD"`, "", ""},
		"much":                   {`i=0; while [ $i -lt 9000 ]; do echo "rows=$i"; i=$((i+1)); done >"$M"`, "rows=8999", "only the last 65536 are read"},
		"huge":                   {`echo a=1 >"$M"; truncate -s 1G "$M"; printf '\nb=2\n' >>"$M"`, "b=2", "of 1073741829 bytes only the last"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := reporting(t, c.code)
			spec.Log = filepath.Join(t.TempDir(), "log") // not where the code may remove it
			spec.Masked = []string{"hunter2"}
			x, log := run(t, r, spec)
			if got := told(x.Metrics); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			out := plain(t, log)
			if notes := out[1].String(); !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("the log says %q, want %q", notes, c.note)
			}
		})
	}
}

func TestNotesComeAfterWhatWasPrinted(t *testing.T) {
	r := newRunner(t, Config{})
	for name, begin := range map[string]string{
		"in memory": ``,
		"in files":  `i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done; `,
	} {
		x, log := run(t, r, reporting(t, begin+`printf 'no end' >&2; echo nonsense >"$M"`))
		if (len(x.Log) > 0) != (begin == "") {
			t.Errorf("%s: %d bytes of log are in memory", name, len(x.Log))
		}
		if out := plain(t, log); !strings.HasPrefix(out[1].String(), "no endmetrics: ") || !strings.HasSuffix(string(log), "expected name=value\n") {
			t.Errorf("%s: stderr is %q", name, out[1].String())
		}
	}
}

func TestAFileThatIsNotTheAttemptsUserIsNotRead(t *testing.T) {
	mine := uint32(os.Geteuid())
	file := filepath.Join(t.TempDir(), metrics.File)
	if err := os.WriteFile(file, []byte("key=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, metrics.MostFile)
	for uid, want := range map[uint32]string{mine: "key=1\n", mine + 1: ""} {
		text, notes := report{file, uid}.read(room)
		if string(text) != want || (want == "") != (len(notes) == 1) {
			t.Errorf("of user %d: %q, %v; want %q", uid, text, notes, want)
		}
	}
	spec := Spec{Metrics: file}
	spec.User = &syscall.Credential{Uid: 7}
	if got := spec.report(); got != (report{file, 7}) {
		t.Errorf("%v", got)
	}
}

func TestMetricsAreHandedOver(t *testing.T) {
	s := State{Pidfd: -1, Pipes: [2]int{-1, -1}, Metrics: "/m", MetricsOf: 7}
	r := newRunner(t, Config{FlushEvery: time.Hour, DrainFor: time.Hour})
	var p *Process
	done := make(chan error)
	if err := r.queued(fork{do: func() {
		var err error
		p, err = r.Adopt(s, newEnding())
		done <- err
	}}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || p.report != (report{"/m", 7}) {
		t.Errorf("%v, %v", p.report, err)
	}
}
