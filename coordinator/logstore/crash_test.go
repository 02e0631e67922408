package logstore

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"backfleet/pkg/wire"
)

const crashDir = "LOGSTORE_TEST_CRASH_DIR"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

const (
	crashLogs = 5
	crashStep = 20 << 10
)

func crashStream(log uint64) []byte { return noise(100+log, 4<<20) }

// writeUntilKilled appends to a few logs in turn, a batch each time, and prints
// "log offset" after the ack. It goes on where the store says.
func writeUntilKilled(dir string) {
	die := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		die(err)
	}
	streams := make([][]byte, crashLogs)
	at := make([]int, crashLogs)
	for i := range streams {
		streams[i] = crashStream(uint64(i))
		for {
			data, next, _, err := s.Read(context.Background(), Key{Plan: uint64(i)}, uint64(at[i]), 0)
			if err != nil {
				die(err)
			}
			if at[i] = int(next); len(data) == 0 {
				break
			}
		}
	}
	for {
		batch := make([]*wire.LogChunk, 0, crashLogs)
		for i, stream := range streams {
			if to := at[i] + crashStep; to < len(stream) {
				batch = append(batch, chunkOf(Key{Plan: uint64(i)}, stream, at[i], to))
			}
		}
		acks, err := s.Append(context.Background(), batch)
		if err != nil {
			die(err)
		}
		for _, a := range acks {
			if a.Error != "" {
				die(fmt.Errorf("%s", a.Error))
			}
			at[a.Ref.Plan] = int(a.Offset)
			fmt.Println(a.Ref.Plan, a.Offset)
		}
		if len(batch) == 0 {
			fmt.Println("full")
			select {}
		}
	}
}

// Everything that was acknowledged before a SIGKILL is there after it.
func TestKill9LosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acked := map[uint64]uint64{}
	for round, linesUntilKill := range []int{7, 150, 333} {
		killed := exec.Command(os.Args[0])
		killed.Env = append(os.Environ(), crashDir+"="+dir)
		killed.Stderr = os.Stderr
		out, err := killed.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		n := 0
		for ; lines.Scan(); n++ { // after the kill, too: what is in the pipe was acked
			plan, offset, ok := strings.Cut(lines.Text(), " ")
			p, err1 := strconv.ParseUint(plan, 10, 64)
			o, err2 := strconv.ParseUint(offset, 10, 64)
			if ok && err1 == nil && err2 == nil {
				acked[p] = o
			}
			if n == linesUntilKill {
				if err := killed.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := killed.Wait(); err == nil || n <= linesUntilKill {
			t.Fatalf("round %d: the writer ended by itself after %d lines: %v", round, n, err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("round %d: after the kill: %v", round, err)
		}
		for plan, offset := range acked {
			got, _ := readAll(t, s.Read, Key{Plan: plan}, 0, 0)
			if uint64(len(got)) < offset || !bytes.Equal(got, crashStream(plan)[:len(got)]) {
				t.Fatalf("round %d: log %d has %d bytes, %d were acknowledged", round, plan, len(got), offset)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) != crashLogs {
		t.Fatalf("%d logs were acknowledged, want %d", len(acked), crashLogs)
	}
}
