//! Who writes the data: rules that need no model, and invented personas to train models on.

pub mod invented;
pub mod offline;
