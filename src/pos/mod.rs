//! The Policy Orchestration Service.
