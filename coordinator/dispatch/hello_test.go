package dispatch

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// An agent that is newer than its leader is taken as far as it is understood:
// nothing unknown gets into the facts, whose snapshots could not be read again.
func TestHelloOfANewerAgent(t *testing.T) {
	more := protowire.AppendString(protowire.AppendTag(nil, 4000, protowire.BytesType), "news")
	plain := &wire.Hello{Agent: &wire.Agent{
		Id: "a1", Incarnation: "k1", Groups: []*wire.GroupSlots{{Group: "default", Slots: 2}}, Labels: []*wire.Assignment{{Name: "zone", Value: "b"}},
	}}
	newer := proto.CloneOf(plain)
	newer.Agent.ProtoReflect().SetUnknown(more)
	newer.Agent.Groups[0].ProtoReflect().SetUnknown(more)
	newer.Agent.Labels[0].ProtoReflect().SetUnknown(more)
	if err := checkHello(newer); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(newer, plain) {
		t.Errorf("got %v, expected %v", newer, plain)
	}
}
