package convert

import (
	"strconv"
	"strings"

	"backfleet/pkg/fault"
)

// PlanID writes a plan's id as people see it: b12.
func PlanID(plan uint64) string { return "b" + strconv.FormatUint(plan, 10) }

// InstanceID writes an instance's id as people see it: b12.345.
func InstanceID(plan, number uint64) string {
	return PlanID(plan) + "." + strconv.FormatUint(number, 10)
}

// ParsePlanID reads what PlanID writes.
func ParsePlanID(s string) (uint64, error) {
	if plan, ok := parsePlan(s); ok {
		return plan, nil
	}
	return 0, fault.Field("backfill", "%q is not the id of a backfill: expected one like b12", clip(s))
}

// ParseInstanceID reads what InstanceID writes.
func ParseInstanceID(s string) (plan, number uint64, err error) {
	head, tail, found := strings.Cut(s, ".")
	plan, okPlan := parsePlan(head)
	number, okNumber := parseNumber(tail)
	if !found || !okPlan || !okNumber {
		return 0, 0, fault.Field("instance", "%q is not the id of an instance: expected one like b12.345", clip(s))
	}
	return plan, number, nil
}

func parsePlan(s string) (uint64, bool) {
	digits, found := strings.CutPrefix(s, "b")
	n, ok := parseNumber(digits)
	return n, found && ok && n > 0
}

// parseNumber takes only the form that is written, so that an id has one
// spelling.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

// clip keeps hostile input from filling an error.
func clip(s string) string {
	const show = 60
	if len(s) > show {
		return s[:show] + "…"
	}
	return s
}
