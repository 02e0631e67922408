// Package e2e has tests of real processes: coordinators and agents built as
// they are shipped, with their folders, ports and signals, killed and started
// again. What happened is read from files that the attempts themselves write,
// not from what the cluster says of them.
package e2e
