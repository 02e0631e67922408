// Package observe is what operators look at a cluster with: dashboards for
// Grafana, alert rules for Prometheus, each played by alerts.test.yml, and
// METRICS.md, the list of all figures. check.sh (make check-observe) reads all of it
// with Prometheus' own tool; the tests hold it against real processes.
package observe
