// Package attempt names attempts: the value by which every part of the agent
// keys what it knows of one execution of an instance.
package attempt

import (
	"cmp"
	"fmt"
	"log/slog"

	"backfleet/pkg/wire"
)

// Key is an attempt's identity. Unlike the message it comes from it can be
// compared and used as a map key.
type Key struct {
	Plan     uint64
	Instance uint64
	Attempt  uint32
	Fence    uint64
}

// Instance is what at most one attempt may run at a time (RULES R13.2).
type Instance struct{ Plan, Instance uint64 }

// KeyOf reads a key from its message; nil gives the zero key.
func KeyOf(ref *wire.AttemptRef) Key {
	return Key{ref.GetPlan(), ref.GetInstance(), ref.GetAttempt(), ref.GetFence()}
}

// Ref makes the message.
func (k Key) Ref() *wire.AttemptRef {
	return &wire.AttemptRef{Plan: k.Plan, Instance: k.Instance, Attempt: k.Attempt, Fence: k.Fence}
}

// Of gives the instance that the attempt executes.
func (k Key) Of() Instance { return Instance{k.Plan, k.Instance} }

// String gives the form people see: "b12.345.1".
func (k Key) String() string { return fmt.Sprintf("b%d.%d.%d", k.Plan, k.Instance, k.Attempt) }

// LogValue is how logs name the attempt, coordinators' ones too: as Folder.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.Folder()) }

// Folder is the attempt's name on disk: String and the fence, "b12.345.1-f77".
func (k Key) Folder() string { return fmt.Sprintf("%s-f%d", k.String(), k.Fence) }

// ParseFolder is the inverse of Folder; false for any other name.
func ParseFolder(name string) (Key, bool) {
	var k Key
	n, err := fmt.Sscanf(name, "b%d.%d.%d-f%d", &k.Plan, &k.Instance, &k.Attempt, &k.Fence)
	return k, err == nil && n == 4 && k.Folder() == name
}

// Compare orders keys by plan, instance, fence and attempt.
func (k Key) Compare(o Key) int {
	switch { // by steps: an agent sorts thousands
	case k.Plan != o.Plan:
		return cmp.Compare(k.Plan, o.Plan)
	case k.Instance != o.Instance:
		return cmp.Compare(k.Instance, o.Instance)
	case k.Fence != o.Fence:
		return cmp.Compare(k.Fence, o.Fence)
	}
	return cmp.Compare(k.Attempt, o.Attempt)
}
