//go:build race

package model

// fewer: the race detector is slow, and a run is one goroutine.
const seedsByDefault = 100
