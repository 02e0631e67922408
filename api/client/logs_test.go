package client_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"backfleet/api/client"
	"backfleet/api/internal/standin"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

// TestALogIsReadWholeWhileCoordinatorsFail: byte by byte what was written, with
// bytes that are no text.
func TestALogIsReadWholeWhileCoordinatorsFail(t *testing.T) {
	b := standin.New()
	var want bytes.Buffer
	for i := range 300 {
		line := fmt.Sprintf("%d \xff\xfe\x00", i)
		b.WriteLog(cri.Stdout, false, line)
		want.WriteString(line + "\n")
	}
	var reads atomic.Int32
	b.Fail = func(call string) error {
		if call == "ReadLog" && reads.Add(1)%7 == 0 {
			return fault.New(fault.Unavailable, "too few coordinators answer")
		}
		return nil
	}
	c := connect(t, client.Options{}, dead(t), coordinator(t, b), coordinator(t, b))
	var got bytes.Buffer
	p := v1.ReadLogParams{Limit: 400}
	for {
		part, err := c.LogText(within(t), "b1.1", &p)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(part.Text)
		if part.Next == p.Offset {
			if part.Complete {
				t.Error("a log that grows is called complete")
			}
			break
		}
		p.Attempt, p.Offset = part.Attempt, part.Next
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes, %d were written", got.Len(), want.Len())
	}
	if _, err := c.LogText(within(t), "b1.2", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no attempt: %v", err)
	}
}

// TestAnyTextCanBeSearchedFor, also what stands for absent elsewhere.
func TestAnyTextCanBeSearchedFor(t *testing.T) {
	b := standin.New()
	b.WriteLog(cri.Stdout, false, "exit 0")
	b.WriteLog(cri.Stdout, false, "false alarm")
	b.EndLog()
	c := connect(t, client.Options{}, coordinator(t, b))
	for _, text := range []string{"0", "false"} {
		found, err := c.SearchLog(within(t), "b1.1", &v1.SearchLogParams{Text: text})
		if err != nil || found.Matches != 1 || !found.Complete {
			t.Errorf("%s: %+v %v", text, found, err)
		}
	}
}
