//! Gemma, which learns to answer from the statements in its prompt.

use std::path::Path;

use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;

use super::examples::{encode_language, language_example};
use super::init::induction_heads;
use super::recipe::{
    EPOCH, HELD_OUT, HELD_OUT_STREAM, Pretrain, generate, loader, optimizer, schedule,
};
use super::renamed::WordTokens;
use super::store::{save_in_bf16, tell_bf16};
use super::vocabulary::{VocabularyKind, train_tokenizer};
use crate::Result;
use crate::files::{self, Checkpoint};
use crate::nn::{GemmaConfig, Weights};
use crate::progress::Job;
use crate::text::Tokenizer;
use crate::train::{EpochLoader, Fit, LanguageExample, LanguageModel, fit};

pub(super) fn pretrain_gemma(
    config: &Pretrain,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    if folder.join("config.json").is_file() {
        job.progress
            .note(&format!("{} is there already", folder.display()));
        return Ok(());
    }
    if !folder.join("tokenizer.json").is_file() {
        let texts: Vec<String> = generate(config.seed ^ 7, 0, 6000, &|rng| {
            let turns = language_example(rng);
            Ok(turns
                .iter()
                .map(|(prompt, reply)| prompt.clone() + reply)
                .collect())
        })?;
        train_tokenizer(VocabularyKind::Gemma, &texts, config.vocab_size, folder)?;
    }
    let tokenizer = Tokenizer::load(&Checkpoint::folder(folder))?;

    let model_config = GemmaConfig::gemma_2b()
        .with_vocab_size(tokenizer.vocab_size())
        .with_hidden_size(192)
        .with_intermediate_size(512)
        .with_num_hidden_layers(4)
        .with_num_attention_heads(4)
        .with_num_key_value_heads(4)
        .with_head_dim(48)
        .with_max_position_embeddings(1024);
    let mut gemma = model_config.init(device);
    induction_heads(&mut gemma, &model_config, config.seed, device);
    gemma.unfreeze_weights();
    let words = WordTokens::new(&tokenizer);
    let encode = move |rng: &mut ChaCha8Rng| {
        encode_language(&tokenizer, &words, &language_example(rng), rng)
    };
    let held_out = generate(config.seed, HELD_OUT_STREAM, HELD_OUT / 4, &encode)?;
    let train = loader(
        config.seed,
        config.language_examples.min(EPOCH),
        8,
        encode,
        LanguageExample::len,
        LanguageExample::collate,
    );
    let valid = EpochLoader::new(held_out, 32, LanguageExample::len, LanguageExample::collate);
    let epochs = config.language_examples.div_ceil(EPOCH);
    let schedule = schedule(2e-3, epochs * train.steps_per_epoch(1))?;
    let run = Fit {
        label: "gemma",
        folder: work,
        epochs,
        accumulate: 1,
        metrics: &[("loss", false)],
    };
    let mut trained = fit(
        LanguageModel { gemma },
        optimizer(),
        schedule,
        &train,
        &valid,
        &run,
        job,
    )?;
    save_in_bf16(&mut trained.gemma, folder)?;
    files::write_gemma_config(folder, &model_config)?;
    tell_bf16(folder)
}
