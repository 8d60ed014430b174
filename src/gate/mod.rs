//! Telemetry to cell state to decision to enforcement.
