package plan

import (
	"strconv"
	"strings"

	"backfleet/pkg/fault"
)

// FormatID is a plan's id as people and the API see it: "b12".
func FormatID(plan uint64) string { return "b" + strconv.FormatUint(plan, 10) }

// FormatInstance is an instance's id: "b12.345".
func FormatInstance(plan, instance uint64) string {
	return FormatID(plan) + "." + strconv.FormatUint(instance, 10)
}

// ParseID reads what FormatID writes.
func ParseID(s string) (uint64, error) {
	if digits, ok := strings.CutPrefix(s, "b"); ok {
		if id, err := strconv.ParseUint(digits, 10, 64); err == nil && FormatID(id) == s {
			return id, nil
		}
	}
	return 0, fault.Field("backfill", "%q is not the id of a backfill: expected b and a number, such as b12", s)
}

// ParseInstance reads what FormatInstance writes.
func ParseInstance(s string) (plan, instance uint64, err error) {
	if head, tail, ok := strings.Cut(s, "."); ok {
		plan, err = ParseID(head)
		if err == nil {
			instance, err = strconv.ParseUint(tail, 10, 64)
		}
		if err == nil && FormatInstance(plan, instance) == s {
			return plan, instance, nil
		}
	}
	return 0, 0, fault.Field("instance", "%q is not the id of an instance: expected a backfill and a number, such as b12.345", s)
}
