//! Readers of what an image declares; each fact carries its origin.
