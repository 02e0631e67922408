package machine

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// puts makes a machine that has a coordinator of each name, one an entry.
func puts(t *testing.T, m *Machine, from uint64, ids ...string) {
	t.Helper()
	for i, id := range ids {
		data, err := proto.Marshal(&wire.Command{Behaviour: state.First, Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: id}}})
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Apply(from+uint64(i), data).(*state.Result); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func written(t *testing.T, m *Machine) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.State().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestR13_7_ASnapshotTakesThePlaceOfWhatWasToBeTold: nothing of what was there
// before is left, neither in the facts nor with who has not looked yet.
func TestR13_7_ASnapshotTakesThePlaceOfWhatWasToBeTold(t *testing.T) {
	other, m := New(), New()
	puts(t, other, 1, "a", "b", "c", "d")
	feed, _ := m.Follow()
	defer feed.Close()
	puts(t, m, 1, "a", "gone")
	if err := m.Restore(bytes.NewReader(written(t, other))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written(t, m), written(t, other)) {
		t.Error("what was restored are other facts than the snapshot's")
	}
	puts(t, m, 5, "e")
	<-feed.Ready()
	all := feed.Take()
	if len(all) != 2 {
		t.Fatalf("a follower gets %d entries, expected the snapshot and the one behind it: %+v", len(all), all)
	}
	if a := all[0]; !a.Reset || a.Index != 4 || a.State.Index() != 4 || len(a.Changes) > 0 {
		t.Errorf("the snapshot is told as %+v", a)
	}
	if a := all[1]; a.Reset || a.Index != 5 || len(a.Changes) != 1 || a.State != m.State() {
		t.Errorf("the entry behind it is told as %+v", a)
	}
}

// TestADamagedSnapshotChangesNothing: what was there stays, and nobody is told.
func TestADamagedSnapshotChangesNothing(t *testing.T) {
	m := New()
	puts(t, m, 1, "a", "b")
	whole, before := written(t, m), m.State()
	feed, _ := m.Follow()
	defer feed.Close()
	if err := m.Restore(bytes.NewReader(whole[:len(whole)-1])); err == nil {
		t.Error("a snapshot that is cut off was taken")
	}
	if m.State() != before || len(feed.Take()) > 0 {
		t.Error("a snapshot that was refused has changed something")
	}
}

// TestWhoLagsIsTold: a follower that does not look is told that it has missed
// something, and not each of it.
func TestWhoLagsIsTold(t *testing.T) {
	m := New()
	feed, _ := m.Follow()
	defer feed.Close()
	const missed = maxPending + 1
	for i := range uint64(missed) {
		puts(t, m, i+1, "a")
	}
	all := feed.Take()
	if len(all) != 1 || !all[0].Reset || all[0].Index != missed || all[0].State != m.State() {
		t.Errorf("%d entries are told, the first as %+v", len(all), all[0])
	}
}
