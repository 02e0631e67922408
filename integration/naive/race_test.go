//go:build race

package naive

// fewer: the race detector is slow, and a run is one goroutine.
const seedsByDefault = 300
