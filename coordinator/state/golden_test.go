package state

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// golden is a random log that a released version made: entries of twenty kinds,
// accepted and refused, as pairs of index and entry; then the hash of the State that
// it had at the end. testdata/log-N.zst are never written again.
type golden struct {
	indexes []uint64
	entries [][]byte
	hash    [32]byte
}

func readGolden(t testing.TB, path string) (g golden) {
	t.Helper()
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(stored, nil)
	if err != nil {
		t.Fatal(err)
	}
	for len(text) > len(g.hash) {
		index, n := binary.Uvarint(text)
		size, m := binary.Uvarint(text[n:])
		text = text[n+m:]
		g.indexes, g.entries = append(g.indexes, index), append(g.entries, text[:size])
		text = text[size:]
	}
	copy(g.hash[:], text)
	return g
}

// TestReleasedLogsGiveTheSameFacts: what a released version made of its log, this one
// makes of it too.
func TestReleasedLogsGiveTheSameFacts(t *testing.T) {
	logs, err := filepath.Glob("testdata/log-*.zst")
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, path := range logs {
		g, s := readGolden(t, path), New()
		kinds := map[string]bool{}
		for i, data := range g.entries {
			c, err := Decode(data)
			if err != nil {
				t.Fatalf("%s: entry %d: %v", path, g.indexes[i], err)
			}
			body := c.ProtoReflect().WhichOneof(c.ProtoReflect().Descriptor().Oneofs().ByName("body"))
			kinds[string(body.Name())] = true
			s, _ = s.Apply(g.indexes[i], c)
		}
		if got := s.Hash(); got != g.hash {
			t.Errorf("%s: the facts are %x, then they were %x", path, got, g.hash)
		}
		if len(kinds) < 20 || len(g.entries) < 500 {
			t.Errorf("%s: %d entries of %d kinds: it tests too little", path, len(g.entries), len(kinds))
		}
	}
}

// FuzzReleasedEntriesWithMore: what a released binary does not know in an entry is
// kept by its decoder, so that nothing of it is lost unseen.
func FuzzReleasedEntriesWithMore(f *testing.F) {
	g := readGolden(f, "testdata/log-1.zst")
	for i := 0; i < len(g.entries); i += 50 {
		f.Add(uint16(i), uint16(900), "more")
	}
	f.Fuzz(func(t *testing.T, entry, field uint16, text string) {
		data := g.entries[int(entry)%len(g.entries)]
		more := protowire.AppendTag(append([]byte{}, data...), protowire.Number(field)%5000+100, protowire.BytesType)
		more = protowire.AppendString(more, text)
		c, err := Decode(more)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.ProtoReflect().GetUnknown()) == 0 {
			t.Error("a field that is not known was left out")
		}
	})
}
