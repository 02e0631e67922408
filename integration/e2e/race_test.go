//go:build race

package e2e

// fewer: the test's own simulated agent is slow under the race detector.
const largeDays = 150
