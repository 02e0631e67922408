package convert_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// fill sets every field of a message, down to a depth.
func fill(t *testing.T, m protoreflect.Message, depth int) {
	t.Helper()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		scalar := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(string(f.FullName()))
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(1)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(7)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(7)
			case protoreflect.Int32Kind, protoreflect.Sint32Kind:
				return protoreflect.ValueOfInt32(7)
			}
			t.Fatalf("%s: no value for a field of kind %s", f.FullName(), f.Kind())
			return protoreflect.Value{}
		}
		switch {
		case f.Message() != nil && depth == 0:
		case f.IsList() && f.Message() != nil:
			fill(t, m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList():
			m.Mutable(f).List().Append(scalar())
		case f.Message() != nil:
			fill(t, m.Mutable(f).Message(), depth-1)
		case depth > 0 || f.Kind() == protoreflect.StringKind:
			m.Set(f, scalar())
		}
	}
}

// TestEveryFieldOfANodeGoesThereAndBack, the blocks of all types at once, and
// with as much in them as their depth gives.
func TestEveryFieldOfANodeGoesThereAndBack(t *testing.T) {
	for depth := range 5 {
		n := &wire.Node{}
		fill(t, n.ProtoReflect(), depth)
		n.Schedule = &wire.Schedule{Kind: wire.Schedule_DAILY}
		for _, u := range n.Upstreams {
			u.FromMonthStart = false // beside from it is refused
			u.Window = u.Window || u.From != 0
		}
		back, err := convert.ReadNodes([]v1.Node{throughJSON(t, convert.Node(n))})
		if err != nil || !proto.Equal(back[0], n) {
			t.Errorf("depth %d: %v\ngot  %v\nwant %v", depth, err, back, n)
		}
	}
}
