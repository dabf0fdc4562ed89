//! cli commands
pub(crate) mod chat;
pub(crate) mod classify;
pub(crate) mod dpo;
pub(crate) mod finetune;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod logprobs;
pub(crate) mod merge;
pub(crate) mod pretrain;
pub(crate) mod quantize;
mod reply_file;
pub(crate) mod score;
mod score_record;
pub(crate) mod train;
