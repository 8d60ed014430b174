//! Writes policy, agent and units into images.
