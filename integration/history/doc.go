// Package history records what clients of a fleet asked and were told, and what
// its processes noted of themselves, and judges afterwards whether that can have
// come about if every promise was kept (RULES R9, R13). See DESIGN.md.
package history
