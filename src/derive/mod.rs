//! Facts and obligations to policy; pure.
