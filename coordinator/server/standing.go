package server

import (
	"context"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/status"

	"backfleet/coordinator/service"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// standingPatience is how long a coordinator is waited for that is asked about
// itself.
const standingPatience = time.Second

// Standing tells another coordinator about this one.
func (p *peer) Standing(context.Context, *wire.StandingRequest) (*wire.StandingResponse, error) {
	return p.standing(), nil
}

// ownStanding is what this coordinator knows of its log and its disk.
func (s *Server) ownStanding() *wire.StandingResponse {
	st := s.node.Stats()
	out := &wire.StandingResponse{
		Term: st.Term, Applied: st.Applied, Commit: st.Commit, FirstLog: st.FirstLog, LastLog: st.LastLog, Snapshot: st.LastSnapshot,
		LogBytes: folderBytes(filepath.Join(s.cfg.DataDir, "wal")), AttemptLogBytes: folderBytes(filepath.Join(s.cfg.DataDir, "logs")),
	}
	out.Behaviour = s.cfg.agrees()
	if !st.LastContact.IsZero() {
		out.ContactMs = st.LastContact.UnixMilli()
	}
	if kept, ok := s.node.NewestSnapshot(); ok {
		out.Snapshot, out.SnapshotBytes = kept.Index, uint64(kept.Bytes)
		if !kept.At.IsZero() {
			out.SnapshotMs = kept.At.UnixMilli()
		}
	}
	if free, ok := s.cfg.free(s.cfg.DataDir); ok {
		out.DiskFree = &free
	}
	return out
}

// folderBytes is what the files below a folder take on disk.
func folderBytes(dir string) uint64 {
	bytes, _ := folderUse(dir)
	return bytes
}

// folderUse is what the files below a folder take on disk, and how many there are.
// What goes away meanwhile takes nothing.
func folderUse(dir string) (total uint64, files int) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		var file unix.Stat_t
		if err == nil && entry.Type().IsRegular() && unix.Lstat(path, &file) == nil {
			total += uint64(file.Blocks) * 512
			files++
		}
		return nil
	})
	return total, files
}

// standings asks coordinators about themselves, all at once.
func (s *Server) standings(ctx context.Context, ids []string) map[string]service.Told {
	ctx, cancel := context.WithTimeout(ctx, standingPatience)
	defer cancel()
	out := map[string]service.Told{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, id := range ids {
		asked.Go(func() {
			t := s.standingOf(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			out[id] = t
		})
	}
	asked.Wait()
	return out
}

func (s *Server) standingOf(ctx context.Context, id string) service.Told {
	if id == s.cfg.ID {
		return service.Told{StandingResponse: s.ownStanding()}
	}
	v, ok := s.machine.State().Server(id)
	if !ok {
		return service.Told{Err: fault.New(fault.Unavailable, "it has not said yet where it can be reached")}
	}
	client, err := s.peers.dial(v.Id, v.RpcAddress)
	if err == nil {
		var answer *wire.StandingResponse
		if answer, err = client.Standing(ctx, &wire.StandingRequest{}); err == nil {
			return service.Told{StandingResponse: answer}
		}
	}
	if st, ok := status.FromError(err); ok {
		return service.Told{Err: fault.New(fault.Unavailable, "%s", st.Message())}
	}
	return service.Told{Err: err}
}
