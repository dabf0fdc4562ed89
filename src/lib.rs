//! Makes a model faithful to a character, and measures how faithful any reply is.
//!
//! From a page about a character come persona statements and the questions that touch them. Two judges, the discriminators of
//! the paper ([arXiv 2405.07726](https://arxiv.org/abs/2405.07726)), tell whether a statement matters to a question and whether a
//! reply follows from it, leaves it open or contradicts it. Together they give **APC**, the number of statements that a reply
//! respects. Replies with the higher APC are preferred, and DPO trains a LoRA adapter on those preferences.
//!
//! # What to use
//!
//! | you want to | start at | feature |
//! |---|---|---|
//! | put Gemma, Llama, Qwen, DeBERTa or LoRA into a burn project of your own | [`nn`] | none |
//! | load checkpoints and PEFT adapters into it | `files` | `files` |
//! | name models as they are on the Hugging Face hub | `hub` | `hub` |
//! | score replies, or let a character answer | `persona::Scorer`, `persona::Character` | `persona` |
//! | train a character | `pipeline` | `pipeline` |
//! | do all that without a download | `tiny` | `tiny` |
//! | run the programs `apc` and `train` | `cli` | `cli` |
//!
//! Each feature brings those above it. The default is all of them on the CPU; `default-features = false` is [`nn`] alone. A
//! backend is chosen apart from that: `flex` for the CPU, `cuda`, `vulkan`, or burn's own features in your project.
//!
//! `examples/score.rs` scores three replies and `examples/chat.rs` lets a character answer, in twenty lines each;
//! `examples/embed` is a project of its own that loads a Gemma with an adapter and trains it.
//!
//! # Errors and panics
//!
//! What touches files, the network or text from outside returns [`Result`]; its [`Error`] says what is wrong, where, and what
//! to do. Modules of [`nn`] panic where burn does, on shapes that do not fit, and say so.
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
#[cfg(feature = "pipeline")]
mod pattern;
#[cfg(feature = "persona")]
pub mod persona;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(feature = "files")]
pub mod progress;
#[cfg(feature = "serve")]
pub mod serve;
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

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
