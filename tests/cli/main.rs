//! The commands as a user runs them. One test binary; each part is a module.

mod agent;
mod attacks;
mod bake;
mod circles;
mod compile;
mod constants;
mod coverage;
mod derive;
mod enforcement;
mod field;
mod frame;
mod gate;
mod hostile;
mod image;
mod keygen;
mod machines;
mod parts;
mod pdl;
mod pos;
mod reach;
mod seccomp;
mod style;
mod tighten;
mod together;
mod walk;
mod wings;
