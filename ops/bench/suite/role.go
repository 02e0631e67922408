package suite

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"google.golang.org/grpc"

	"backfleet/ops/backfleet/command"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// The bench starts its own binary again for what must be a process of its own.
const (
	roleVariable    = "BACKFLEET_BENCH_ROLE"
	profileVariable = "BACKFLEET_BENCH_PROFILE"
	roleEcho        = "echo"      // the bare other end of the agent protocol
	roleBackfleet   = "backfleet" // the product, with a CPU profile
	roleCanary      = "canary"    // says when the machine stood still
)

func play(role string, args []string) int {
	switch role {
	case roleEcho:
		return playEcho()
	case roleCanary:
		return playCanary(os.Stdout)
	}
	base := filepath.Join(os.Getenv(profileVariable), fmt.Sprintf("%s-%d", args[0], os.Getpid()))
	f, err := os.Create(base + ".cpu.pprof")
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := command.Main(args)
	pprof.StopCPUProfile()
	if heap, err := os.Create(base + ".heap.pprof"); err == nil {
		_ = pprof.WriteHeapProfile(heap)
		heap.Close()
	}
	f.Close()
	return code
}

// profiled makes this binary the one that is measured, with profiles.
func (r *run) profiled() error {
	dir, err := filepath.Abs(r.o.profile)
	if err != nil {
		return err
	}
	if r.binary, err = os.Executable(); err != nil {
		return err
	}
	os.Setenv(profileVariable, dir)
	os.Setenv(roleVariable, roleBackfleet)
	return nil
}

// profileSelf begins the profile of this process, in which simulated agents and
// the state of the memory row live.
func (r *run) profileSelf() error {
	if r.o.profile == "" {
		return nil
	}
	if err := os.MkdirAll(r.o.profile, 0o777); err != nil {
		return fault.Wrap(err, fault.Invalid, "--profile: the folder cannot be made")
	}
	f, err := os.Create(filepath.Join(r.o.profile, fmt.Sprintf("bench-%d.cpu.pprof", os.Getpid())))
	if err != nil {
		return err
	}
	r.profile = f
	return pprof.StartCPUProfile(f)
}

func (r *run) stopProfile() {
	if r.profile != nil {
		pprof.StopCPUProfile()
		r.profile.Close()
	}
}

// echo answers an agent's session as a coordinator does, without anything
// behind it: as many grants as results came in, at once.
type echo struct {
	wire.UnimplementedAgentsServer
}

const echoBatch = 500 // grants of a message while the slots fill up

func (echo) Session(rpc grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage]) error {
	first, err := rpc.Recv()
	if err != nil {
		return err
	}
	next := uint64(0)
	grant := func(n int, defs []*wire.Definition) error {
		a := &wire.Assign{Definitions: defs, Work: make([]*wire.Work, n)}
		for i := range a.Work {
			next++
			a.Work[i] = &wire.Work{
				Ref:        &wire.AttemptRef{Plan: 1, Instance: next, Attempt: 1, Fence: 1000 + next/1000},
				Definition: 1, DataTimestamp: 14610, ScheduledDate: 14611, Values: []*wire.Assignment{{Name: "bizdate", Value: "20100101"}},
			}
		}
		return rpc.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}})
	}
	if err := rpc.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Welcome{Welcome: &wire.Welcome{LeaseMs: 15000, RenewMs: 3000, MarginMs: 3000}}}); err != nil {
		return err
	}
	defs := []*wire.Definition{{Id: 1, Node: &wire.Node{Id: nodeID(0), Type: "shell", Code: ":"}, CodeVersion: 1}}
	group := first.GetHello().GetAgent().GetGroups()[0]
	free := int(group.Slots)
	if group.Group != "default" {
		free = 0 // it came to be idle
	}
	for ; free > 0; free -= echoBatch {
		if err := grant(min(free, echoBatch), defs); err != nil {
			return err
		}
		defs = nil
	}
	for {
		m, err := rpc.Recv()
		if err != nil {
			return err
		}
		r := m.GetReport()
		ack := &wire.Ack{Seq: r.Seq}
		for _, res := range r.Results {
			ack.Results = append(ack.Results, res.Ref)
		}
		if err := rpc.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Ack{Ack: ack}}); err != nil {
			return err
		}
		if len(r.Results) > 0 {
			if err := grant(len(r.Results), nil); err != nil {
				return err
			}
		}
	}
}

// playEcho serves until its standard input ends.
func playEcho() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := grpc.NewServer()
	wire.RegisterAgentsServer(s, echo{})
	go func() { _ = s.Serve(l) }()
	fmt.Fprintln(os.Stdout, l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Stop()
	return 0
}

// bareEnd is the bare other end, running.
type bareEnd struct {
	address string
	pid     int
	stop    func()
}

func startEcho(ctx context.Context) (*bareEnd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleEcho)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &bareEnd{pid: cmd.Process.Pid, stop: func() {
		in.Close()
		_ = cmd.Wait()
	}}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		e.stop()
		return nil, err
	}
	e.address = strings.TrimSpace(string(line[:n]))
	return e, nil
}
