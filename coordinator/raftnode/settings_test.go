package raftnode

import (
	"math"
	"reflect"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/obs/bridge"

	"github.com/hashicorp/raft"
)

// Every field of raft's configuration is stated here: one that a new version
// adds fails this test until somebody decides on it.
func TestEverySetting(t *testing.T) {
	logger := bridge.HCLog(obs.Discard(), "raft")
	for profile, times := range map[string][4]time.Duration{
		"":         {250 * time.Millisecond, 250 * time.Millisecond, 250 * time.Millisecond, 100 * time.Millisecond},
		ProfileLAN: {250 * time.Millisecond, 250 * time.Millisecond, 250 * time.Millisecond, 100 * time.Millisecond},
		ProfileWAN: {time.Second, time.Second, 500 * time.Millisecond, 200 * time.Millisecond},
	} {
		expected := map[string]any{
			"ProtocolVersion": raft.ProtocolVersion(3), "LocalID": raft.ServerID("c1"),
			"HeartbeatTimeout": times[0], "ElectionTimeout": times[1], "LeaderLeaseTimeout": times[2], "CommitTimeout": times[3],
			"MaxAppendEntries": 64, "BatchApplyCh": true, "ShutdownOnRemove": false,
			"TrailingLogs": uint64(10240), "SnapshotInterval": 24 * time.Hour, "SnapshotThreshold": uint64(math.MaxUint64),
			"NotifyCh": (chan<- bool)(nil), "LogOutput": nil, "LogLevel": "", "Logger": logger,
			"NoSnapshotRestoreOnStart": false, "PreVoteDisabled": false, "NoLegacyTelemetry": true, "RestoreCommittedLogs": false,
		}
		times, err := timingOf(profile)
		if err != nil {
			t.Fatal(err)
		}
		config := raftConfig("c1", times, logger)
		if err := raft.ValidateConfig(config); err != nil {
			t.Errorf("%q: %v", profile, err)
		}
		v := reflect.ValueOf(*config)
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			want, ok := expected[field.Name]
			if got := v.Field(i).Interface(); !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %s is %v; expected %v (decided: %v)", profile, field.Name, got, want, ok)
			}
		}
	}
	if _, err := timingOf("moon"); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unknown profile: %v", err)
	}
	if maxInFlight > 64 || maxEntry > 256<<10 {
		t.Error("limits of the log exceeded")
	}
}

func TestOnlyRefusalsMeanNotApplied(t *testing.T) {
	m := start(t, Config{ID: "c1", DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	for err, code := range map[error]fault.Code{
		raft.ErrNotLeader:                    fault.Unavailable,
		raft.ErrLeadershipTransferInProgress: fault.Unavailable,
		raft.ErrEnqueueTimeout:               fault.Unavailable,
		raft.ErrLeadershipLost:               fault.Unknown,
		raft.ErrRaftShutdown:                 fault.Unknown,
		raft.ErrAbortedByRestore:             fault.Unknown,
		fault.New(fault.Unavailable, "disk"): fault.Unknown,
	} {
		if got := fault.CodeOf(m.classify(err)); got != code {
			t.Errorf("%v: %s; expected %s", err, got, code)
		}
	}
}
