package wire

import (
	"fmt"
	"time"
)

// A generation tells apart what must never mix: a cluster, and the same cluster
// after it was restored from a backup or recovered on one survivor. Its high bits
// are when that was, in Unix seconds, 0 for the cluster's beginning; its low 24
// bits are random. 0 is a cluster of a binary that knew of none.

const generationRandom = 24

// FirstGeneration is that of a new cluster.
func FirstGeneration(random uint32) uint64 {
	return max(1, uint64(random)&(1<<generationRandom-1))
}

// NextGeneration supersedes the one before, whatever the clock says.
func NextGeneration(before uint64, now time.Time, random uint32) uint64 {
	at := max(uint64(max(0, now.Unix())), before>>generationRandom+1)
	return at<<generationRandom | FirstGeneration(random)
}

// Newer says that a supersedes b. Of two clusters that began by themselves
// neither does.
func Newer(a, b uint64) bool { return a>>generationRandom > b>>generationRandom }

// GenerationText is how people see it.
func GenerationText(g uint64) string {
	if g == 0 {
		return "none"
	}
	return fmt.Sprintf("%x", g)
}
