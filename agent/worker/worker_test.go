package worker

import (
	"errors"
	"strings"
	"testing"

	"backfleet/agent/runner"
	"backfleet/pkg/wire"
)

type preparing func() (*wire.StartAttempt, error)

func (p preparing) Prepare(*wire.Definition, *wire.Work) (*wire.StartAttempt, error) { return p() }

func TestR10_3_EachAttemptGetsTheBoundOfItsLog(t *testing.T) {
	b := bounded{preparing(func() (*wire.StartAttempt, error) { return &wire.StartAttempt{TimeoutMs: 5}, nil }), 70_000}
	start, err := b.Prepare(nil, nil)
	if err != nil || start.LogMaxBytes != 70_000 || start.TimeoutMs != 5 {
		t.Errorf("%v, %v", start, err)
	}
	broken := errors.New("no code")
	b.Executor = preparing(func() (*wire.StartAttempt, error) { return nil, broken })
	if _, err := b.Prepare(nil, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want the executor's error", err)
	}
}

func TestR10_3_TheBoundOfLogsIsASettingWithADefault(t *testing.T) {
	config := func(bytes int64) error {
		c := Config{ID: "a", DataDir: "x", Coordinators: []string{"127.0.0.1:1"}, Groups: []GroupSlots{{"default", 1}}, LogMaxBytes: bytes}
		err := c.Validate()
		if bytes == 0 && c.LogMaxBytes != runner.DefaultLogBytes {
			t.Errorf("the default is %d bytes, want 2 GiB", c.LogMaxBytes)
		}
		return err
	}
	for bytes, refused := range map[int64]bool{0: false, 64 << 10: false, 64<<10 - 1: true, -1: true} {
		if err := config(bytes); (err != nil) != refused || refused && !strings.Contains(err.Error(), "logs-max-bytes") {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
}
