//go:build !race

package e2e

const largeDays = 700
