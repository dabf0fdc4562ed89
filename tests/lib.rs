//! Everything that is tested from outside the crate.

mod bad_input;
mod cli;
mod golden;
mod triples;
