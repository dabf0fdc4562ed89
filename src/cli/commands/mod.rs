//! One file per command: its flags, its checks, its calls into the library, and what it prints.
//!
//! A command computes nothing itself: what a library user would need, too, belongs outside `cli`. Flags that commands share
//! are in `args`.

pub(crate) mod benchmark;
mod character;
pub(crate) mod chat;
pub(crate) mod classify;
pub(crate) mod dequantize;
pub(crate) mod dpo;
pub(crate) mod finetune;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod lint;
pub(crate) mod logprobs;
pub(crate) mod merge;
pub(crate) mod models;
pub(crate) mod pretrain;
pub(crate) mod quantize;
mod reply_file;
pub(crate) mod score;
mod score_record;
pub(crate) mod serve;
pub(crate) mod train;
