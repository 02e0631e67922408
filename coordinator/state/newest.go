//go:build !behaviour_former

package state

// Newest is the newest version of the rules that this binary knows. Version 2
// has coordinators say which data folder is theirs, and can be put in force.
const Newest = 2
