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
