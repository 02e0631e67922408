package stage

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"backfleet/pkg/fault"
)

// run starts a program by way of a stage: the test binary is one, too.
func run(t *testing.T, l Limits, path string, args ...string) (out, errs string, code int) {
	t.Helper()
	cmd := &exec.Cmd{Env: []string{"PATH=/usr/bin:/bin"}}
	cmd.Path, cmd.Args = l.Command(path, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func TestAProgramBeginsWithItsLimits(t *testing.T) {
	code := `cat /proc/self/limits; cut -d' ' -f19 /proc/self/stat; echo "name $0, argument $1"`
	out, errs, exit := run(t, Limits{OpenFiles: 77, Processes: 12345, Data: 99 << 20, Nice: 19}, "/bin/sh", "sh", "-c", code, "zero", "one")
	if exit != 0 {
		t.Fatalf("exit code %d: %s", exit, errs)
	}
	for _, want := range []string{`Max open files +77 +77 `, `Max processes +12345 +12345 `, `Max data size +103809024 +103809024 `, `(?m)^19$`, `name zero, argument one`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestWhatIsNotAskedForStaysAsItIs(t *testing.T) {
	plain, err := exec.Command("/bin/sh", "-c", "cat /proc/self/limits").Output()
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := run(t, Limits{Nice: 1}, "/bin/sh", "sh", "-c", "cat /proc/self/limits")
	if out != string(plain) {
		t.Errorf("limits are\n%s\nwant them as of any child\n%s", out, plain)
	}
}

func TestAnEnvironmentComesThrough(t *testing.T) {
	if out, _, _ := run(t, Limits{Nice: 1}, "/usr/bin/env", "env"); out != "PATH=/usr/bin:/bin\n" {
		t.Errorf("the environment is %q, want the one variable that was given", out)
	}
}

func TestAProgramThatIsNotThereIsNamed(t *testing.T) {
	_, errs, code := run(t, Limits{Nice: 1}, "/nowhere/program", "program")
	if code != failed || !strings.Contains(errs, "/nowhere/program") {
		t.Errorf("exit code %d, %q; want %d and the program's name", code, errs, failed)
	}
}

func TestALimitAboveTheAgentsOwnIsRefused(t *testing.T) {
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	most := int32(min(own.Max, 1<<30))
	if err := (Limits{OpenFiles: most}).Check(); err != nil {
		t.Errorf("%d open files: %v, want it allowed", most, err)
	}
	over := Limits{OpenFiles: most + 1}
	if own.Max > 1<<30 { // there is none above it
		over = Limits{OpenFiles: most}
	}
	err := over.Check()
	if allowed := uint64(over.OpenFiles) <= own.Max; (err == nil) != allowed {
		t.Errorf("%d open files where %d are allowed: %v", over.OpenFiles, own.Max, err)
	} else if err != nil && (fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "LimitNOFILE")) {
		t.Errorf("%v: want it to say what to do", err)
	}
}

func TestNoCoreIsLeftUnlessOneIsAskedFor(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	NoCore()
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &before) }()
	size := func(out string) string {
		return strings.Fields(regexp.MustCompile(`Max core file size.*`).FindString(out))[4]
	}
	if out, _, _ := run(t, Limits{Nice: 1}, "/bin/cat", "cat", "/proc/self/limits"); size(out) != "0" {
		t.Errorf("a core may have %s bytes, want 0", size(out))
	}
	want := "4096"
	if before.Max < 4096 {
		want = "0"
	}
	if out, _, _ := run(t, Limits{Core: 4096}, "/bin/cat", "cat", "/proc/self/limits"); size(out) != want {
		t.Errorf("a core may have %s bytes, want %s", size(out), want)
	}
}
