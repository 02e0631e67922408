package state

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// decodesAlike checks that Decode gives what proto.Unmarshal gives.
func decodesAlike(t *testing.T, data []byte) {
	t.Helper()
	want := &wire.Command{}
	wantErr := proto.Unmarshal(data, want)
	got, err := Decode(data)
	if (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(got, want) {
		t.Fatalf("%x: got %v, %v, expected %v, %v", data, got, err, want, wantErr)
	}
}

func someTurn(rnd *rand.Rand) *wire.Turn {
	t := &wire.Turn{}
	texts := []string{"", "a1", "a1", "größer", "because of a longer story"}
	ints := []int64{0, 1, -1, epoch, math.MinInt64, math.MaxInt64}
	for range rnd.IntN(4) {
		t.Finishes = append(t.Finishes, &wire.Finish{
			Plan: rnd.Uint64N(3), Instance: rnd.Uint64(), Fence: rnd.Uint64N(1000), Outcome: wire.Outcome(rnd.IntN(11) - 2),
			ExitCode: int32(rnd.IntN(500) - 250), StartedMs: ints[rnd.IntN(len(ints))], EndedMs: ints[rnd.IntN(len(ints))], Cause: texts[rnd.IntN(len(texts))],
		})
		for f := t.Finishes[len(t.Finishes)-1]; rnd.IntN(3) == 0; {
			long := strings.Repeat("ü", rnd.IntN(2)*70) // its length is no ASCII
			f.Metrics = append(f.Metrics, &wire.Metric{Name: texts[rnd.IntN(len(texts))], Value: texts[rnd.IntN(len(texts))] + long})
		}
	}
	for range rnd.IntN(5) {
		t.Grants = append(t.Grants, &wire.Grant{
			Plan: rnd.Uint64N(3), Instance: rnd.Uint64N(300), Agent: texts[rnd.IntN(len(texts))], ResourceGroup: texts[rnd.IntN(len(texts))], Ahead: rnd.IntN(2) == 0,
		})
	}
	if rnd.IntN(3) == 0 {
		t.Losses = append(t.Losses, &wire.Loss{Plan: 1, Cause: "silent"})
		t.Started = append(t.Started, &wire.Started{Plan: 1, Fence: 7})
		t.Agents = append(t.Agents, agent("a1", 3))
	}
	return t
}

func TestDecodeGivesWhatUnmarshalGives(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	for range 3000 {
		c := turn(someTurn(rnd))
		c.NowMs, c.Actor = rnd.Int64N(3), []string{"", "ann"}[rnd.IntN(2)]
		data, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		decodesAlike(t, data)
		if len(data) == 0 {
			continue
		}
		for range 5 { // what is damaged, or another form, too
			broken := append([]byte(nil), data...)
			broken[rnd.IntN(len(broken))] ^= byte(1 << rnd.IntN(8))
			decodesAlike(t, broken)
			decodesAlike(t, data[:rnd.IntN(len(data))])
		}
		decodesAlike(t, append(data[:len(data):len(data)], data...)) // two turns are merged
	}
}

func TestDecodeLeavesTheRestToUnmarshal(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	within := func(m proto.Message) []byte {
		m.ProtoReflect().SetUnknown(unknown)
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f := &wire.Finish{Plan: 1}
	within(f)
	decodesAlike(t, within(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1}}})))
	for _, c := range []*wire.Command{turn(&wire.Turn{Finishes: []*wire.Finish{f}}), apply(daily("a")), operate(1, wire.Operate_STOP), {}} {
		data, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		decodesAlike(t, data)
		other, err := proto.Marshal(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1}}}))
		if err != nil {
			t.Fatal(err)
		}
		decodesAlike(t, append(data[:len(data):len(data)], other...)) // the last body counts
		decodesAlike(t, append(other, data...))
	}
}

func FuzzDecode(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		data, err := proto.Marshal(turn(someTurn(rnd)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(decodesAlike)
}
