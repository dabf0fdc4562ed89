#![doc = include_str!("../README.md")]

pub(crate) mod kernels;
pub mod nn;

#[cfg(feature = "app")]
pub mod cli;
#[cfg(feature = "app")]
mod error;
#[cfg(feature = "app")]
pub mod files;
#[cfg(feature = "app")]
pub mod hub;
#[cfg(feature = "app")]
pub mod memory;
#[cfg(feature = "app")]
pub mod parallel;
#[cfg(feature = "app")]
pub mod persona;
#[cfg(feature = "app")]
pub mod pipeline;
#[cfg(feature = "app")]
pub mod progress;
#[cfg(feature = "app")]
pub mod teacher;
#[cfg(feature = "app")]
pub mod text;
#[cfg(feature = "app")]
pub mod tiny;
#[cfg(feature = "app")]
pub mod train;

#[cfg(feature = "app")]
pub use error::{Error, Result};
