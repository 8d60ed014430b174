//! Loads, labels, flips, observes.
