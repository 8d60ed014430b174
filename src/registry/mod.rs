//! Registers images with the POS.
