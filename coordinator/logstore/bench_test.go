package logstore

import (
	"fmt"
	"testing"

	"backfleet/pkg/wire"
)

// BenchmarkAppend is the synced rate of compressed chunks on this disk.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s := openStore(b, b.TempDir(), Options{})
			data := encoder.EncodeAll(noise(1, 32<<10), nil)
			b.SetBytes(int64(n * len(data)))
			at := uint64(0)
			for b.Loop() {
				chunks := make([]*wire.LogChunk, n)
				for i := range chunks {
					chunks[i] = &wire.LogChunk{Ref: Key{Plan: 1, Instance: uint64(i)}.Ref(), Offset: at, Size: 32 << 10, Data: data}
				}
				at += 32 << 10
				if _, err := s.Append(b.Context(), chunks); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkShip is one agent's stream to three coordinators whose folders are
// on one disk: every chunk is written and synced three times.
func BenchmarkShip(b *testing.B) {
	all := cluster(b, 3, ReplicatorOptions{})
	data := encoder.EncodeAll(noise(1, 32<<10), nil)
	b.SetBytes(int64(len(data)))
	chunks := make([]*wire.LogChunk, b.N)
	for i := range chunks {
		chunks[i] = &wire.LogChunk{Ref: Key{Plan: 1}.Ref(), Offset: uint64(i) * 32 << 10, Size: 32 << 10, Data: data}
	}
	s := ship(b, all[0])
	b.ResetTimer()
	wantAcked(b, shipAll(b, s, chunks...), b.N*32<<10)
}
