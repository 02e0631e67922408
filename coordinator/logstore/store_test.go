package logstore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))

func chunkOf(key Key, stream []byte, from, to int) *wire.LogChunk {
	return &wire.LogChunk{
		Ref: key.Ref(), Offset: uint64(from), Size: uint32(to - from),
		Data: encoder.EncodeAll(stream[from:to], nil), Last: to == len(stream),
	}
}

// chunksOf cuts a stream into chunks of size bytes.
func chunksOf(key Key, stream []byte, size int) (out []*wire.LogChunk) {
	for from := 0; from < len(stream); from += size {
		out = append(out, chunkOf(key, stream, from, min(from+size, len(stream))))
	}
	return out
}

// noise is n bytes that do not compress, so that tests move what they say.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustAppend(t testing.TB, s *Store, chunks ...*wire.LogChunk) []*wire.LogAck {
	t.Helper()
	acks, err := s.Append(t.Context(), chunks)
	if err != nil {
		t.Fatal(err)
	}
	return acks
}

// readAll reads from offset until nothing more comes.
func readAll(t fataler, read func(context.Context, Key, uint64, int) ([]byte, uint64, bool, error), key Key, offset uint64, page int) ([]byte, bool) {
	var out []byte
	for {
		data, next, ended, err := read(context.Background(), key, offset, page)
		if err != nil {
			t.Fatal(err)
		}
		if next != offset+uint64(len(data)) || (page > 0 && len(data) > page) {
			t.Fatalf("read at %d (at most %d): %d bytes, next %d", offset, page, len(data), next)
		}
		out = append(out, data...)
		if offset = next; ended || len(data) == 0 {
			return out, ended
		}
	}
}

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// Any chunks that cover a stream, in any order, overlapping and repeated, give
// exactly its bytes from any offset; without one of them, the bytes up to it.
func TestAnyChunksThatCoverAStreamYieldIt(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	plan := uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		plan++
		key := Key{Plan: plan, Instance: 7, Attempt: 1, Fence: 9}
		stream := rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "stream")
		var chunks []*wire.LogChunk
		for at := 0; at < len(stream); {
			from := rapid.IntRange(0, at).Draw(t, "from")
			to := rapid.IntRange(at+1, len(stream)).Draw(t, "to")
			chunks = append(chunks, chunkOf(key, stream, from, to))
			at = to
		}
		extra := rapid.SliceOfN(rapid.SampledFrom(chunks), 0, 5).Draw(t, "repeated")
		chunks = rapid.Permutation(append(chunks, extra...)).Draw(t, "order")

		seen := make([]bool, len(stream))
		for len(chunks) > 0 {
			n := rapid.IntRange(1, len(chunks)).Draw(t, "batch")
			acks, err := s.Append(context.Background(), chunks[:n])
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range chunks[:n] {
				for i := range c.Size {
					seen[int(c.Offset)+int(i)] = true
				}
			}
			chunks = chunks[n:]
			prefix := bytes.IndexByte(append(boolBytes(seen), 0), 0)
			for _, a := range acks {
				if a.Error != "" || int(a.Offset) != prefix {
					t.Fatalf("ack %v, want offset %d without an error", a, prefix)
				}
			}
			if got, _ := readAll(t, s.Read, key, 0, 64); !bytes.Equal(got, stream[:prefix]) {
				t.Fatalf("read %d bytes, want the first %d", len(got), prefix)
			}
		}
		at := rapid.IntRange(0, len(stream)).Draw(t, "offset")
		got, ended := readAll(t, s.Read, key, uint64(at), rapid.IntRange(1, 500).Draw(t, "page"))
		if !ended || !bytes.Equal(got, stream[at:]) {
			t.Fatalf("from %d: %d bytes, ended %v; want %d and the end", at, len(got), ended, len(stream)-at)
		}
		checkChunks(t, s, key, stream, uint64(at))
	})
}

func boolBytes(b []bool) []byte {
	out := make([]byte, len(b))
	for i, v := range b {
		if v {
			out[i] = 1
		}
	}
	return out
}

// checkChunks follows Chunks page by page and puts the stream together.
func checkChunks(t *rapid.T, s *Store, key Key, stream []byte, offset uint64) {
	got := append([]byte(nil), stream[:offset]...)
	for {
		page, err := s.Chunks(context.Background(), key, uint64(len(got)), 1)
		if err != nil || len(page) != 1 {
			t.Fatalf("chunks at %d: %d, %v", len(got), len(page), err)
		}
		c := page[0]
		if c.Size > 0 {
			plain, err := s.dec.DecodeAll(c.Data, nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got[:c.Offset], plain...)
		}
		if c.Last {
			break
		}
	}
	if !bytes.Equal(got, stream) {
		t.Fatalf("chunks make %d bytes, want the stream's %d", len(got), len(stream))
	}
}

func TestCoverageIsTheSetOfItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c coverage
		var model [64]bool
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			from := rapid.IntRange(0, 63).Draw(t, "from")
			to := rapid.IntRange(from, 64).Draw(t, "to")
			c = c.add(uint64(from), uint64(to))
			for i := from; i < to; i++ {
				model[i] = true
			}
		}
		for i := range model {
			if c.covers(uint64(i), uint64(i)+1) != model[i] {
				t.Fatalf("byte %d: covered %v, want %v; %v", i, !model[i], model[i], c)
			}
		}
		for i := 1; i < len(c); i++ {
			if c[i-1].to >= c[i].from {
				t.Fatalf("spans touch or are out of order: %v", c)
			}
		}
		r := &record{day: 5, ended: true, end: 99, have: c}
		again, err := decodeRecord(Key{}, r.encode())
		if err != nil || again.day != 5 || !again.ended || again.end != 99 || !proto.Equal(asProto(again.have), asProto(c)) {
			t.Fatalf("record %+v came back as %+v, %v", r, again, err)
		}
	})
}

func asProto(c coverage) *wire.LogChunk { return &wire.LogChunk{Data: (&record{have: c}).encode()} }

func FuzzDecodeRecord(f *testing.F) {
	f.Add((&record{day: 1, have: coverage{{0, 5}, {9, 12}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(Key{}, b)
		if err != nil {
			if !fault.Is(err, fault.Corrupt) {
				t.Fatalf("error %v is not Corrupt", err)
			}
			return
		}
		if again, err := decodeRecord(Key{}, r.encode()); err != nil || len(again.have) != len(r.have) || again.end != r.end {
			t.Fatalf("%+v written and read: %+v, %v", r, again, err)
		}
	})
}

func TestAppendRefusesOneChunkWithoutTheOthers(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	good, ended := Key{Plan: 1}, Key{Plan: 2}
	stream := noise(1, 1000)
	mustAppend(t, s, chunksOf(ended, stream, 1000)...)
	longer := append(bytes.Clone(stream), "more"...)
	wrongSize := chunkOf(good, stream, 0, 100)
	wrongSize.Size = 99
	cutShort := chunkOf(good, stream, 500, 900)
	cutShort.Data = cutShort.Data[:300]
	shorter := chunkOf(ended, stream, 0, 10)
	shorter.Last = true
	for _, c := range []struct {
		chunk *wire.LogChunk
		want  string
	}{
		{&wire.LogChunk{}, "without an attempt"},
		{&wire.LogChunk{Ref: good.Ref(), Size: MaxChunk + 1, Data: []byte("x")}, "send smaller ones"},
		{&wire.LogChunk{Ref: good.Ref(), Size: 3, Data: []byte("not zstd")}, "not a sound zstd frame"},
		{&wire.LogChunk{Ref: good.Ref(), Offset: 1 << 63, Size: 3}, "beyond any log"},
		{&wire.LogChunk{Ref: good.Ref()}, "does not end the log"},
		{wrongSize, "must be equal"},
		{cutShort, "not a sound zstd frame"},
		{chunkOf(ended, longer, 990, 1004), "nothing may be added"},
		{shorter, "a log ends once"},
	} {
		acks := mustAppend(t, s, c.chunk, chunkOf(good, stream, 0, 500))
		if !strings.Contains(acks[0].Error, c.want) {
			t.Errorf("chunk %v: refusal %q, want one with %q", c.chunk, acks[0].Error, c.want)
		}
		if acks[1].Error != "" || acks[1].Offset != 500 {
			t.Errorf("the chunk beside %v: %v, want it kept to 500", c.chunk, acks[1])
		}
	}
	if got, _ := readAll(t, s.Read, good, 0, 0); !bytes.Equal(got, stream[:500]) {
		t.Errorf("the good log has %d bytes, want 500", len(got))
	}
}

func TestAnEmptyLogCanEnd(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	key := Key{Plan: 3}
	if _, _, ended, err := s.Read(t.Context(), key, 0, 0); ended || err != nil {
		t.Fatalf("a log nobody sent: ended %v, %v", ended, err)
	}
	mustAppend(t, s, &wire.LogChunk{Ref: key.Ref(), Last: true})
	if data, _, ended, err := s.Read(t.Context(), key, 0, 0); !ended || err != nil || len(data) != 0 {
		t.Fatalf("an empty log: %d bytes, ended %v, %v", len(data), ended, err)
	}
	if page, err := s.Chunks(t.Context(), key, 0, 0); err != nil || len(page) != 1 || !page[0].Last {
		t.Fatalf("its chunks: %v, %v; want one that ends it", page, err)
	}
}

func TestRepeatedChunksAreNotWrittenAgain(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	key := Key{Plan: 4}
	chunk := chunkOf(key, noise(4, 100<<10), 0, 90<<10)
	mustAppend(t, s, chunk)
	before := s.db.MaxVersion()
	if acks := mustAppend(t, s, chunk, chunk); acks[1].Offset != 90<<10 || acks[1].Error != "" {
		t.Fatalf("ack %v", acks[1])
	}
	if after := s.db.MaxVersion(); after != before {
		t.Fatalf("the engine went from version %d to %d for nothing new", before, after)
	}
}

func TestSubscribersHearOfNewsOnly(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	key, other := Key{Plan: 5}, Key{Plan: 6}
	news, cancel := s.Subscribe(key)
	stream := noise(5, 100)
	mustAppend(t, s, chunkOf(other, stream, 0, 50))
	if len(news) != 0 {
		t.Fatal("woken by another log")
	}
	mustAppend(t, s, chunkOf(key, stream, 0, 50))
	mustAppend(t, s, chunkOf(key, stream, 50, 100))
	<-news
	mustAppend(t, s, chunkOf(key, stream, 0, 50))
	if len(news) != 0 {
		t.Fatal("woken by what was there")
	}
	cancel()
	cancel()
	if len(s.watch.of) != 0 {
		t.Fatal("the subscription was kept")
	}
}

func TestOpenRefusesFoldersThatAreNotItsOwn(t *testing.T) {
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "holiday.jpg"), "x")
	newer := t.TempDir()
	write(t, filepath.Join(newer, markerName), "backfleet attempt logs, format 2\n")
	broken := t.TempDir()
	openStore(t, broken, Options{}).Close()
	write(t, filepath.Join(broken, "MANIFEST"), "no manifest at all, but long enough to be read as one")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	used := t.TempDir()
	openStore(t, used, Options{})
	for _, c := range []struct {
		name, dir string
		code      fault.Code
		opts      Options
	}{
		{"foreign", foreign, fault.Corrupt, Options{}},
		{"of a newer version", newer, fault.Corrupt, Options{}},
		{"broken", broken, fault.Corrupt, Options{}},
		{"a file", file, fault.Corrupt, Options{}},
		{"in use", used, fault.Conflict, Options{}},
		{"full", t.TempDir(), fault.Overloaded, Options{MinFree: 1 << 62}},
	} {
		s, err := Open(c.dir, c.opts)
		if err == nil {
			s.Close()
		}
		if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.dir) {
			t.Errorf("%s: error %v, want code %s and the folder", c.name, err, c.code)
		}
	}
	if b, _ := os.ReadDir(foreign); len(b) != 1 {
		t.Errorf("the foreign folder was changed: %v", b)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskRefusesAndKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	key, stream := Key{Plan: 8}, noise(8, 1000)
	mustAppend(t, s, chunkOf(key, stream, 0, 600))
	s.opts.MinFree = 1 << 62
	if _, err := s.Append(t.Context(), chunksOf(key, stream, 1000)); !fault.Is(err, fault.Overloaded) {
		t.Fatalf("full disk: %v, want overloaded", err)
	}
	if got, _ := readAll(t, s.Read, key, 0, 0); !bytes.Equal(got, stream[:600]) {
		t.Fatalf("%d bytes left, want 600", len(got))
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("append: %v", err)
	}
	if _, _, _, err := s.Read(t.Context(), Key{}, 0, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("read: %v", err)
	}
}

func TestALogStaysInTheBucketOfItsFirstDay(t *testing.T) {
	now := time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)
	s := openStore(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	key, stream := Key{Plan: 9}, noise(9, 1000)
	mustAppend(t, s, chunkOf(key, stream, 0, 500))
	now = now.Add(time.Hour)
	mustAppend(t, s, chunkOf(key, stream, 500, 1000))
	if got, ended := readAll(t, s.Read, key, 0, 0); !ended || !bytes.Equal(got, stream) {
		t.Fatalf("over midnight: %d bytes, ended %v", len(got), ended)
	}
	if err := s.db.DropPrefix(chunkPrefix(dayOf(now.Add(-time.Hour)), key)[:5]); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Read(t.Context(), key, 0, 0); !fault.Is(err, fault.Corrupt) {
		t.Fatalf("chunks gone behind the record's back: %v, want corrupt", err)
	}
}

// Frames as encoders of any level write them fit, up to the largest chunk, and
// one that swells beyond what it says is refused.
func TestFramesOfAnyEncoder(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	for i, stream := range [][]byte{noise(1, MaxChunk), make([]byte, MaxChunk), noise(2, 10)} {
		for level := zstd.SpeedFastest; level <= zstd.SpeedBestCompression; level++ {
			whole, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(level))
			var streamed bytes.Buffer
			piecewise, _ := zstd.NewWriter(&streamed, zstd.WithEncoderLevel(level))
			_, err := piecewise.Write(stream)
			if err = errors.Join(err, piecewise.Close()); err != nil {
				t.Fatal(err)
			}
			for j, data := range [][]byte{whole.EncodeAll(stream, nil), streamed.Bytes()} {
				key := Key{Plan: uint64(i), Instance: uint64(level), Attempt: uint32(j)}
				acks := mustAppend(t, s, &wire.LogChunk{Ref: key.Ref(), Size: uint32(len(stream)), Data: data, Last: true})
				if got, ended := readAll(t, s.Read, key, 0, 0); acks[0].Error != "" || !ended || !bytes.Equal(got, stream) {
					t.Fatalf("stream %d, level %v, way %d: ack %q, %d bytes, ended %v", i, level, j, acks[0].Error, len(got), ended)
				}
			}
		}
	}
	var bomb bytes.Buffer
	w, _ := zstd.NewWriter(&bomb)
	_, err := w.Write(make([]byte, 64<<20))
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	acks := mustAppend(t, s, &wire.LogChunk{Ref: Key{Plan: 99}.Ref(), Size: 10, Data: bomb.Bytes()})
	if !strings.Contains(acks[0].Error, "not a sound zstd frame") {
		t.Fatalf("a bomb is answered %q", acks[0].Error)
	}
}

// TestLogsNameAnAttemptAsAgentsDo: pkg/obs/DESIGN.md promises one form.
func TestLogsNameAnAttemptAsAgentsDo(t *testing.T) {
	if got := (Key{Plan: 16, Instance: 203, Attempt: 1, Fence: 385}).LogValue().String(); got != "b16.203.1-f385" {
		t.Errorf("an attempt is logged as %q", got)
	}
}
