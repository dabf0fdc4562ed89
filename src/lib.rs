#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub(crate) mod kernels;
pub mod nn;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "files")]
mod error;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "persona")]
pub mod memory;
#[cfg(feature = "persona")]
pub mod parallel;
#[cfg(feature = "persona")]
pub mod persona;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(feature = "files")]
pub mod progress;
#[cfg(feature = "pipeline")]
pub mod teacher;
#[cfg(feature = "persona")]
pub mod text;
#[cfg(feature = "tiny")]
pub mod tiny;
#[cfg(feature = "pipeline")]
pub mod train;

#[cfg(feature = "files")]
pub use error::{Error, Result};
