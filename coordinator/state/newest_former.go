//go:build behaviour_former

package state

// Newest, built so, is one less than this source knows: integration/upgrade
// rolls a cluster from such a binary to a whole one.
const Newest = 1
