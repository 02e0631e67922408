package server

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// forGood is the code of a refusal that no later try changes: the coordinator is
// a member no more. What may change is codes.Unavailable.
const forGood = codes.FailedPrecondition

// stranger says why a folder of another generation is none of this cluster's.
func (p *peer) stranger(generation uint64) error {
	own := p.node.Generation()
	switch {
	case p.node.Awaits():
		return status.Error(codes.Unavailable, "this coordinator is no member yet itself: ask another")
	case generation == own:
		return nil
	case wire.Newer(own, generation):
		return status.Errorf(forGood, "its folder is of generation %s of the cluster, which was recovered or restored since and is of %s now", wire.GenerationText(generation), wire.GenerationText(own))
	case wire.Newer(generation, own):
		return status.Errorf(codes.Unavailable, "the folder is of generation %s, and this coordinator of %s, an older one: it is to be stopped, and its folder emptied", wire.GenerationText(generation), wire.GenerationText(own))
	default:
		return status.Errorf(codes.Unavailable, "the folder is of another cluster, of generation %s; this one is of %s: give the address of its own cluster with --join, or an empty folder", wire.GenerationText(generation), wire.GenerationText(own))
	}
}

// admissible says whether who asks may become a member, or stay one. A member is
// an id and a folder: who comes with an empty folder has none of what its id has
// acknowledged, and who comes with one of a former member has voted and written
// as such. Neither may take the place. Called on the leader.
func (p *peer) admissible(r *wire.JoinRequest) error {
	v := r.Server
	if v.Folder == "" {
		return nil // of a version that does not say
	}
	if !r.Fresh {
		return p.member(v.Id, v.Folder)
	}
	members, err := p.node.Servers()
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	for _, m := range members {
		if m.ID != v.Id {
			continue
		}
		known, ok := p.log.State().Server(v.Id)
		if ok && known.Folder != "" && known.Folder != v.Folder || m.Voter && (!ok || known.Folder == "") {
			return status.Errorf(codes.Unavailable, "coordinator %s is a member, with another folder than this empty one: if that is lost, remove it (backfleet cluster remove %s), and this one is taken in; otherwise choose another --id", v.Id, v.Id)
		}
	}
	return nil
}

// member says whether a coordinator with this folder is a member.
func (p *peer) member(id, folder string) error {
	members, err := p.node.Servers()
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	for _, m := range members {
		if m.ID != id {
			continue
		}
		if known, ok := p.log.State().Server(id); ok && folder != "" && known.Folder != "" && known.Folder != folder {
			return status.Errorf(forGood, "coordinator %s was removed from the cluster, and is a member with another folder now", id)
		}
		return nil
	}
	return status.Errorf(forGood, "coordinator %s was removed from the cluster", id)
}

// Member tells a coordinator whether it still is one.
func (p *peer) Member(ctx context.Context, r *wire.MemberRequest) (*wire.MemberResponse, error) {
	err := p.node.Err()
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	if err = p.stranger(r.Generation); err == nil {
		if !p.node.IsLeader() {
			leader, err := p.leader(r.Forwarded)
			if err != nil {
				return nil, err
			}
			r.Forwarded = true
			return leader.Member(ctx, r)
		}
		if _, err := p.node.ReadIndex(ctx); err != nil { // who was deposed knows an old membership
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		err = p.member(r.Id, r.Folder)
	}
	switch status.Code(err) {
	case codes.OK:
		return &wire.MemberResponse{}, nil
	case forGood:
		return &wire.MemberResponse{Refused: status.Convert(err).Message()}, nil
	}
	return nil, err
}

// enroll makes this coordinator a member, or retires it when the cluster says
// that it is none. It goes on until one of both, or ctx ends.
func (s *Server) enroll(ctx context.Context, options []grpc.DialOption) {
	server := proto.CloneOf(s.self)
	server.Folder = ""
	request := &wire.JoinRequest{
		Server: server, Folder: s.self.Folder, Fresh: s.node.Awaits(), Generation: s.node.Generation(), Behaviour: state.Newest,
	}
	answer, err := join(ctx, s.cfg.Join, request, s.secure, options, s.cfg.Logger)
	switch {
	case err == nil:
		err = s.node.Admit(answer.Generation)
	case status.Code(err) == forGood:
		s.refused.Store(true)
		err = s.node.Retire(status.Convert(err).Message())
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Error("joining the cluster failed", "error", err)
	}
}

const (
	askEvery    = 2 * time.Second
	askPatience = time.Second
)

// watchMembership asks whoever is not heard of whether this coordinator is still
// a member of the cluster: one that was removed while it was away, or that is of
// a generation that was given up, is told in no other way. It ends with ctx.
func (s *Server) watchMembership(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { s.watchFacts(ctx, state.ServersChanged, changed) })
	known := s.readMembers()
	for {
		select {
		case <-changed: // noted at once: whoever is killed next may need them at its next start
			known = s.keepMembers(known)
			continue
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, v := range s.unheard(known) {
			if s.askMember(ctx, v) {
				return
			}
		}
	}
}

// membersFile has the coordinators' addresses as they were last known: one that
// starts and hears nobody has no facts, as the log behind its last snapshot is not
// known to be confirmed. It is a hint, so it is not synced.
const membersFile = "members.json"

func (s *Server) readMembers() []*wire.PutServer {
	text, err := os.ReadFile(filepath.Join(s.cfg.DataDir, membersFile))
	if err != nil {
		return nil
	}
	var list []*wire.PutServer
	if err := json.Unmarshal(text, &list); err != nil {
		s.cfg.Logger.Warn("the other coordinators' addresses cannot be read; they come with the facts", "file", membersFile, "error", err)
		return nil
	}
	return list
}

// keepMembers gives the newest known addresses, and notes them when they changed.
func (s *Server) keepMembers(known []*wire.PutServer) []*wire.PutServer {
	var now []*wire.PutServer
	s.machine.State().Servers(func(v *wire.PutServer) { now = append(now, v) })
	if len(now) == 0 || slices.EqualFunc(known, now, func(a, b *wire.PutServer) bool { return proto.Equal(a, b) }) {
		return known
	}
	path := filepath.Join(s.cfg.DataDir, membersFile)
	text, err := json.MarshalIndent(now, "", "  ")
	if err == nil {
		err = os.WriteFile(path+".new", append(text, '\n'), 0o640)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		s.cfg.Logger.Warn("the other coordinators' addresses could not be noted", "file", membersFile, "error", err)
	}
	return now
}

// unheard lists those to ask: of a leader, the members that do not answer it; of
// who hears no leader, everybody.
func (s *Server) unheard(known []*wire.PutServer) (ask []*wire.PutServer) {
	if s.node.Awaits() || s.node.Err() != nil {
		return nil
	}
	leads := s.node.IsLeader()
	if !leads && time.Since(s.node.HeardOfLeader()) < askEvery {
		return nil
	}
	for _, v := range known {
		if v.Id != s.cfg.ID && !(leads && time.Since(s.node.Heard(v.Id)) < askEvery) {
			ask = append(ask, v)
		}
	}
	if !leads {
		for _, address := range s.cfg.Join {
			ask = append(ask, &wire.PutServer{RpcAddress: address})
		}
	}
	return ask
}

// askMember reports that this coordinator was told to retire, and has.
func (s *Server) askMember(ctx context.Context, v *wire.PutServer) bool {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	client, err := s.peers.dial(v.Id, v.RpcAddress)
	if err != nil {
		return false
	}
	answer, err := client.Member(ctx, &wire.MemberRequest{Id: s.cfg.ID, Folder: s.self.Folder, Generation: s.node.Generation()})
	if err != nil || answer.Refused == "" {
		return false
	}
	if err := s.node.Retire(answer.Refused); err != nil {
		s.cfg.Logger.Error("this coordinator is a member no more, which could not be noted in its folder", "error", err)
		return false
	}
	return true
}

// RemoveServer takes a member out, see service.Log.
func (l clusterLog) RemoveServer(ctx context.Context, id string, force bool) error {
	s := l.s
	members, err := s.node.Servers()
	if err != nil {
		return err
	}
	if err := removable(members, id, force, func(m raftnode.Server) bool { return m.Leader || time.Since(s.node.Heard(m.ID)) < askEvery }); err != nil {
		return err
	}
	if id == s.cfg.ID {
		if err := s.node.TransferLeadership(ctx, ""); err != nil {
			return err
		}
		return fault.New(fault.Unavailable, "coordinator %s led, and has handed leadership over to be removed: send the request again", id)
	}
	return s.node.RemoveServer(ctx, id)
}

// removable refuses what would leave the cluster without a voter, or unless it is
// forced, without a majority that answers.
func removable(members []raftnode.Server, id string, force bool, answers func(raftnode.Server) bool) error {
	left, reached, found := 0, 0, false
	for _, m := range members {
		switch {
		case m.ID == id:
			found = true
		case m.Voter:
			left++
			if answers(m) {
				reached++
			}
		}
	}
	switch {
	case !found:
		return fault.New(fault.NotFound, "coordinator %q is not a member of the cluster", id)
	case left == 0:
		return fault.New(fault.Conflict, "coordinator %s is the only voter: add another and wait until it is a voter, before this one is removed", id)
	case reached <= left/2 && !force:
		return fault.New(fault.Conflict, "of the %d voters that would be left only %d can be reached, fewer than a majority: bring the others back first, or force it if you know better", left, reached)
	}
	return nil
}
