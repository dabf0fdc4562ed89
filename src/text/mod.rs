//! Models that read and write text: tokenizer, chat template, classifier, sampling, and the [`Engine`].
//!
//! The engine is the one place that loads a language model: base, adapter, tokenizer, precision, limits and device.
//! Nothing here knows characters, judges or stages, or trains.

mod around;
mod chat_format;
mod chat_template;
mod classifier;
mod draft;
mod engine;
mod filled;
mod generate;
mod generation;
mod jinja;
mod logprobs;
mod message;
mod prefixes;
mod published;
mod request;
mod requirements;
mod running;
mod sampling;
mod sentencepiece;
mod sentences;
mod special;
mod stream;
mod tokenizer;

pub(crate) use around::Around;
pub use around::EncodedText;
pub use chat_format::{ChatFormat, Spoken};
pub use chat_template::ChatTemplate;
pub use classifier::{Activation, Classifier, TextProbabilities, classifier_input};
pub use draft::DraftModel;
pub use engine::{Engine, EngineConfig, Loaded};
pub(crate) use filled::{encode_filled, filled};
pub use generate::generate;
pub use generation::Generation;
pub use logprobs::response_logprobs;
pub use message::Message;
#[cfg(feature = "pipeline")]
pub(crate) use message::is_something;
pub use published::{PUBLISHED, PublishedModel};
pub use request::{GenerateConfig, Prompt, Room};
pub use requirements::{Requirements, Work};
pub use running::{FinishReason, Logprobs, Reply, Token};
pub use sampling::{Sampling, seed_for};
pub use sentencepiece::ByteFallback;
pub use sentences::SentenceEncoder;
pub use stream::ReplyStream;
pub use tokenizer::Tokenizer;
