package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// describe is every field, value of an enumeration and call, a line each, sorted.
func describe() []string {
	var lines []string
	protoregistry.GlobalFiles.RangeFilesByPackage("backfleet.v1", func(f protoreflect.FileDescriptor) bool {
		lines = append(lines, messages(f.Messages())...)
		lines = append(lines, enums(f.Enums())...)
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				m := f.Services().Get(i).Methods().Get(j)
				lines = append(lines, fmt.Sprintf("%s %s%s %s%s", short(m), stream(m.IsStreamingClient()), short(m.Input()), stream(m.IsStreamingServer()), short(m.Output())))
			}
		}
		return true
	})
	slices.Sort(lines)
	return lines
}

func short(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), "backfleet.v1.")
}

func stream(is bool) string {
	if is {
		return "stream "
	}
	return ""
}

func messages(all protoreflect.MessageDescriptors) (lines []string) {
	for i := range all.Len() {
		m := all.Get(i)
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			kind := f.Kind().String()
			switch {
			case f.Message() != nil:
				kind = short(f.Message())
			case f.Enum() != nil:
				kind = short(f.Enum())
			}
			in := ""
			if o := f.ContainingOneof(); o != nil {
				in = " in " + string(o.Name())
			}
			lines = append(lines, fmt.Sprintf("%s = %d %s %s%s", short(f), f.Number(), f.Cardinality(), kind, in))
		}
		lines = append(lines, messages(m.Messages())...)
		lines = append(lines, enums(m.Enums())...)
	}
	return lines
}

func enums(all protoreflect.EnumDescriptors) (lines []string) {
	for i := range all.Len() {
		for j := range all.Get(i).Values().Len() {
			v := all.Get(i).Values().Get(j)
			lines = append(lines, fmt.Sprintf("%s.%s = %d", short(all.Get(i)), v.Name(), v.Number()))
		}
	}
	return lines
}

// TestWhatWasReleasedStaysAsItIs: what binaries in the field write and read keeps
// its number, name and type. testdata has a file of each release, which is never
// written again; `go test -run Released -v` prints that of today.
func TestWhatWasReleasedStaysAsItIs(t *testing.T) {
	now := describe()
	t.Log(strings.Join(now, "\n"))
	files, err := filepath.Glob("testdata/released-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); !slices.Contains(now, line) {
				t.Errorf("%s has %q, which is gone or another now: fields are added, never changed, removed or used anew", name, line)
			}
		}
	}
}
