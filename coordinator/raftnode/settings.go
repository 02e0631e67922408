package raftnode

import (
	"math"
	"time"

	"backfleet/pkg/fault"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Profiles of timing.
const (
	// ProfileLAN fits one data centre: a leader is missed after 250 ms.
	ProfileLAN = "lan"
	// ProfileWAN fits coordinators in several regions.
	ProfileWAN = "wan"
)

const (
	// maxInFlight bounds proposals between enqueue and outcome. It equals the
	// buffer that BatchApplyCh gives the apply channel (MaxAppendEntries), so
	// that handing one over never blocks, even when the disk hangs.
	maxInFlight = 64
	// maxWaiting bounds proposals that wait for a place in flight: past it,
	// who proposes is told so rather than kept.
	maxWaiting = 512
	// maxEntry is the largest payload in one log entry; larger proposals are
	// staged in parts. A huge entry holds up every heartbeat behind it.
	maxEntry = 256 << 10
	// MaxProposal is the largest payload Propose takes.
	MaxProposal = 64 << 20
	// snapshotsKept: the newest and, should it turn out unreadable, one more.
	snapshotsKept = 2
)

type timing struct{ heartbeat, election, lease, commit time.Duration }

func timingOf(profile string) (timing, error) {
	switch profile {
	case "", ProfileLAN:
		return timing{250 * time.Millisecond, 250 * time.Millisecond, 250 * time.Millisecond, 100 * time.Millisecond}, nil
	case ProfileWAN:
		return timing{time.Second, time.Second, 500 * time.Millisecond, 200 * time.Millisecond}, nil
	default:
		return timing{}, fault.Field("profile", "%q is unknown; expected %s or %s", profile, ProfileLAN, ProfileWAN)
	}
}

// raftConfig states every setting, so that a changed default of the library
// changes nothing here. A test asserts each value.
func raftConfig(id string, t timing, logger hclog.Logger) *raft.Config {
	return &raft.Config{
		ProtocolVersion:    raft.ProtocolVersionMax,
		LocalID:            raft.ServerID(id),
		HeartbeatTimeout:   t.heartbeat,
		ElectionTimeout:    t.election,
		LeaderLeaseTimeout: t.lease,
		CommitTimeout:      t.commit, // how late followers learn that an entry is committed when our pipeline does not tell
		MaxAppendEntries:   maxInFlight,
		BatchApplyCh:       true,
		// A removed coordinator stays up, says so, and can be asked why.
		ShutdownOnRemove: false,
		// When a snapshot is taken, and how much of the log it leaves, is
		// decided in compaction.go, by bytes as well as entries: raft by
		// itself never takes one, and is told what to leave before each.
		TrailingLogs:      DefaultCompaction().TrailingEntries,
		SnapshotInterval:  24 * time.Hour,
		SnapshotThreshold: math.MaxUint64,
		// The state machine lives in memory: it needs the snapshot at start.
		NoSnapshotRestoreOnStart: false,
		// raft-wal does not track commits; the leader tells soon enough.
		RestoreCommittedLogs: false,
		PreVoteDisabled:      false,
		NoLegacyTelemetry:    true,
		NotifyCh:             nil, // raft blocks on it; LeaderCh never does
		Logger:               logger,
	}
}
