// Package traces holds what a real OTLP collector gets from real processes against
// what the attempts themselves saw: one trace a date, whoever leads.
package traces
