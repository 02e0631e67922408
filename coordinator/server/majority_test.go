package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/coordinator/logstore"
	"backfleet/pkg/wire"
)

// A coordinator that has just started knows no facts until it has heard from
// the leader. It must not take itself for all there is meanwhile: what it
// alone keeps of a log is not acknowledged, and what it alone lacks may be there.
func TestAloneAfterItsStartACoordinatorIsNoMajority(t *testing.T) {
	dir := t.TempDir()
	configs := make([]Config, 3)
	var running []*Server
	launch := func(i int) *Server {
		t.Helper()
		s, err := Start(within(t), configs[i])
		if err != nil {
			t.Fatal(err)
		}
		configs[i].HTTP, configs[i].RPC, configs[i].Raft = strings.TrimPrefix(s.HTTPAddress(), "http://"), s.RPCAddress(), s.node.Address()
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		return s
	}
	for i := range configs {
		id := fmt.Sprintf("c%d", i+1)
		configs[i] = Config{ID: id, DataDir: filepath.Join(dir, id), HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Raft: "127.0.0.1:0", Bootstrap: i == 0}
		if i > 0 {
			configs[i].Join = []string{configs[0].RPC}
		}
		running = append(running, launch(i))
	}
	until(t, "all know all", func() bool {
		for _, s := range running {
			if live, size := s.peers.live(); len(live) != 2 || size != 3 {
				return false
			}
		}
		return true
	})
	for _, s := range running {
		if err := s.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
	}

	s := launch(0)
	cc, err := grpc.NewClient("passthrough:///"+s.RPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	stream, err := wire.NewAgentsClient(cc).ShipLogs(within(t))
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("2026-11-22T03:14:15Z stdout F a line\n")
	chunk := &wire.LogChunk{Ref: &wire.AttemptRef{Plan: 1, Attempt: 1, Fence: 3}, Size: uint32(len(text)), Data: encoder.EncodeAll(text, nil)}
	send := func() *wire.LogAck {
		t.Helper()
		if err := stream.Send(chunk); err != nil {
			t.Fatal(err)
		}
		ack, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return ack
	}
	if ack := send(); ack.Offset != 0 || !strings.Contains(ack.Error, "of 3 coordinators kept") {
		t.Errorf("one of three answered %v, want that a majority is needed", ack)
	}
	if _, _, ended, err := s.reader.Read(within(t), logstore.Key{Plan: 1, Attempt: 2}, 0, 0); err == nil {
		t.Errorf("one of three says that there is no such log, ended %v; it cannot know", ended)
	}
	launch(1)
	until(t, "two of three take it", func() bool { return send().Error == "" })
}

// until is for what other goroutines bring about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}
