package logstore

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// BenchmarkShortLogs is what logs of one line each cost when a thousand come a
// second: processor time of three coordinators and an agent's stream in one
// process.
func BenchmarkShortLogs(b *testing.B) {
	all := cluster(b, 3, ReplicatorOptions{})
	s := ship(b, all[0])
	data := encoder.EncodeAll([]byte("2026-01-01T00:00:00Z stdout F done\n"), nil)
	acked := make(chan error, 1)
	go func() {
		for n := 0; n < b.N; {
			m, err := s.Recv()
			if err != nil {
				acked <- err
				return
			}
			for _, ack := range wire.UngroupAcks(m) {
				if n++; ack.Error != "" {
					acked <- fmt.Errorf("refused: %v", ack)
					return
				}
			}
		}
		acked <- nil
	}()
	tick := time.NewTicker(10 * time.Millisecond) // agents ship what a save has brought together
	defer tick.Stop()
	begin := processorTime(b)
	b.ResetTimer()
	var burst []*wire.LogChunk
	for i := range b.N {
		burst = append(burst, &wire.LogChunk{Ref: Key{Plan: 1, Instance: uint64(i)}.Ref(), Size: 35, Data: data, Last: true})
		if len(burst) < 10 && i < b.N-1 {
			continue
		}
		<-tick.C
		if err := s.Send(wire.GroupLogs(burst)); err != nil {
			b.Fatal(err)
		}
		burst = nil
	}
	if err := <-acked; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((processorTime(b)-begin).Microseconds())/float64(b.N), "cpu-µs/log")
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
