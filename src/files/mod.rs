//! Hugging Face's files: `config.json`, safetensors, PEFT's adapter folder; and text, JSON and JSON Lines.
//!
//! With `nn` this is a whole library: `apc = { default-features = false, features = ["files"] }` loads checkpoints and
//! adapters into burn modules and writes them. No network, no tokenizers, no command line.

mod checkpoint;
mod classifier;
mod compressed;
mod config_json;
mod decoder;
mod dequantize;
mod export;
mod inside;
mod io;
mod merge;
mod nf4;
mod peft;
mod precision;
mod quantize;
mod seal;
mod shards;
mod tensors;
mod weights;

pub use checkpoint::{Checkpoint, EmbeddedFile, folder_hash};
pub use classifier::{
    ClassifierConfig, MOST_CLASSES, has_classifier_head, load_classifier, load_classifier_body,
    load_classifier_or_base, load_encoder, read_classifier_config, write_classifier_config,
};
#[cfg(feature = "tiny")]
pub(crate) use compressed::compressed;
pub use compressed::{Bits, round_weights, save_compressed};
pub use dequantize::dequantize_model;
pub use export::{COMPANIONS, Written};

pub use decoder::{
    GenerationDefaults, check_decoder_precision, check_decoder_size, load_decoder, model_type,
    read_decoder_config, read_eos_token_ids, read_generation_defaults, write_gemma_config,
};
pub use inside::stays_inside;
pub(crate) use io::write_by;
pub use io::{
    Journal, WAIT, checksum, checksum_of, create_dir, decode_text, hex, is_temporary, lock,
    lock_folder, parse_jsonl, read_json, read_jsonl, read_text, remove_dir, to_lines, write,
    write_json, write_jsonl,
};
pub use merge::merge_adapter;
pub use peft::{AdapterConfig, load_adapter, save_adapter};
pub use precision::{Dtype, EmbeddingQuantization, Precision, Quantization};
pub use quantize::quantize_model;
pub use seal::Seal;
#[cfg(feature = "tiny")]
pub(crate) use shards::{Entry, write_file};
#[cfg(feature = "tiny")]
pub(crate) use tensors::read_floats;
pub use tensors::shard_names;
pub use weights::{WeightSizes, check_weights, load_weights, save_weights, weight_sizes};
