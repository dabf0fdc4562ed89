#![doc = include_str!("../README.md")]

pub mod nn;

#[cfg(feature = "app")]
mod error;
#[cfg(feature = "app")]
pub mod files;
#[cfg(feature = "app")]
pub mod hf;
#[cfg(feature = "app")]
pub mod progress;

#[cfg(feature = "app")]
pub use error::{Error, Result};
