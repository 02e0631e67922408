package state

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func raiseTo(to uint32) *wire.Command {
	return &wire.Command{Body: &wire.Command_RaiseBehaviour{RaiseBehaviour: &wire.RaiseBehaviour{To: to}}}
}

func TestRaisingTheRules(t *testing.T) {
	m := ready(t, daily("a"))
	apply := func(c *wire.Command) Result {
		m.index++
		next, r := m.s.Apply(m.index, c)
		m.s = next
		return r
	}
	for _, c := range []*wire.Command{raiseTo(Newest + 1), {Behaviour: Newest + 1, Body: raiseTo(Newest).Body}} {
		want := fmt.Sprintf("follows rules of version %d, this binary knows %d", Newest+1, Newest)
		if next, r := m.s.Apply(m.index+1, c); !fault.Is(r.Err, fault.Corrupt) || !strings.Contains(r.Err.Error(), want) || next != m.s {
			t.Errorf("%v: got %v", c, r.Err)
		}
	}
	before := m.s.Hash()
	if r := apply(&wire.Command{Behaviour: Newest, Body: submit(current("a", 1)).Body}); r.Err == nil || m.s.Behaviour() != First {
		t.Errorf("rules that are not in force: %v, in force %d", r.Err, m.s.Behaviour())
	}
	up := raiseTo(Newest)
	if err := m.s.Stamp(up); err != nil || up.Behaviour != Newest {
		t.Errorf("stamped %d, %v", up.Behaviour, err)
	}
	if err := m.s.Stamp(raiseTo(Newest + 1)); err == nil {
		t.Error("this binary proposes rules that it does not know")
	}
	for range 2 { // by a second leader, too
		if r := apply(up); r.Err != nil || m.s.Behaviour() != Newest {
			t.Fatalf("%v, in force %d", r.Err, m.s.Behaviour())
		}
	}
	if m.s.Hash() == before {
		t.Error("the rules in force are no part of the facts")
	}
	if r := apply(raiseTo(First)); r.Err != nil || m.s.Behaviour() != Newest {
		t.Errorf("the rules went back to %d, %v", m.s.Behaviour(), r.Err)
	}
	c := submit(current("a", 1))
	if err := m.s.Stamp(c); err != nil || c.Behaviour != Newest {
		t.Errorf("stamped %d, %v", c.Behaviour, err)
	}
	if r := apply(&wire.Command{Behaviour: First, Body: c.Body}); r.Err != nil {
		t.Errorf("one that was proposed before: %v", r.Err)
	}
	var kept bytes.Buffer
	if _, err := m.s.WriteTo(&kept); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(&kept); err != nil || got.Behaviour() != Newest || got.Hash() != m.s.Hash() {
		t.Errorf("from a snapshot: %v", err)
	}
}

// TestNothingNewIsWrittenUnderTheFirstRules: whatever commands can say beyond the
// first release must be refused or left out as long as its rules are in force, for
// its binaries would stop, or read it otherwise. A new field needs an example here,
// and its place in Stamp.
func TestNothingNewIsWrittenUnderTheFirstRules(t *testing.T) {
	examples := map[string]*wire.Command{
		"Command.raise_behaviour": nil, // begins the newer rules itself
		"RaiseBehaviour.to":       nil,
		"PutServer.folder":        {Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: "c1", Folder: "f"}}},
	}
	released, err := os.ReadFile("../../pkg/wire/testdata/released-1.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := "\n" + string(released)
	seen := map[protoreflect.FullName]bool{}
	var look func(m protoreflect.MessageDescriptor)
	look = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			name := strings.TrimPrefix(string(f.FullName()), "backfleet.v1.")
			if example, listed := examples[name]; !listed && !strings.Contains(known, "\n"+name+" = ") {
				t.Errorf("%s is newer than the first rules: what becomes of it while these are in force?", name)
			} else if example != nil {
				stamped := proto.CloneOf(example)
				if err := New().Stamp(stamped); err == nil && has(stamped.ProtoReflect(), f.FullName()) {
					t.Errorf("%s may be proposed under the first rules", name)
				}
			}
			if f.Message() != nil {
				look(f.Message())
			}
		}
	}
	look((&wire.Command{}).ProtoReflect().Descriptor())
}

// has says whether a field is set anywhere in a message.
func has(m protoreflect.Message, name protoreflect.FullName) (found bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		found = found || f.FullName() == name || f.Message() != nil && !f.IsList() && has(v.Message(), name)
		return !found
	})
	return found
}
