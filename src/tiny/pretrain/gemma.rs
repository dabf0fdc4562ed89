//! Gemma, which learns to answer from the statements in its prompt.
//!
//! An example's way: `talk` draws a persona, its questions and the statements that a prompt shows; `forms` and `fields` put those as pages
//! have them; `rare` puts other words, many of them invented, in place of copied ones; `language` turns all into tokens, some of which
//! `exchange` swaps for others; `slips` has some replies go wrong and come back.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use rand_chacha::ChaCha8Rng;

use super::base::fresh;
use super::corpus::{self, Corpus};
use super::embeddings::{embeddings_of, set_embeddings};
use super::exchange::WordTokens;
use super::init::induction_heads;
use super::language::LanguageEncoder;
use super::rare::RareWords;
use super::recipe::{
    EPOCH, HELD_OUT, HELD_OUT_STREAM, Pretrain, generate, loader, optimizer, schedule,
};
use super::speakers::speakers;
use super::store::save_gemma;
use super::talk::Talk;
use super::vocabulary::train_tokenizer;
use super::wordpieces::WordPieces;
use crate::files::Checkpoint;
use crate::nn::{Gemma, GemmaConfig, WeightMut, Weights};
use crate::persona::{Judge, JudgeTask, paper_prompt};
use crate::progress::Job;
use crate::text::Tokenizer;
use crate::tiny::{english, pages};
use crate::train::{EpochLoader, Fit, LanguageExample, LanguageModel, fit};
use crate::{Error, Result};

/// Examples in one step.
const BATCH_SIZE: usize = 8;
/// Examples that are measured at once.
const MEASURED_AT_ONCE: usize = 32;

/// What the Gemma is made from.
pub(super) struct GemmaSources<'a> {
    /// A folder with personas, in the form of `models/corpus`.
    pub(super) corpus: &'a Path,
    /// A folder with a BERT that lends words and their embeddings.
    pub(super) base: &'a Path,
    /// The relevance judge that ranks statements, as it will when characters are asked.
    pub(super) relevance: PathBuf,
}

pub(super) fn pretrain_gemma(
    config: &Pretrain,
    from: &GemmaSources<'_>,
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
    if !from.relevance.join("config.json").is_file() {
        let reason = "is not there, but the Gemma learns from what a relevance judge retrieves; make the judges first";
        return Err(Error::invalid(&from.relevance, reason));
    }
    let corpus = Corpus::load(from.corpus)?;
    if !folder.join("tokenizer.json").is_file() {
        let texts = vocabulary_texts(&corpus, from.base)?;
        train_tokenizer(&texts, config.vocab_size, folder)?;
    }
    let tokenizer = Tokenizer::load(&Checkpoint::folder(folder))?;
    let rare = RareWords {
        words: words_at_large(from.base)?,
    };
    let [learnt, held_out] = ranked(config.seed, &corpus, from, &rare, work, device, job)?;

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
    draw_weights(&mut gemma, model_config.initializer_range, config.seed);
    let (hidden_size, std) = (model_config.hidden_size, model_config.initializer_range);
    let values = embeddings_of(from.base, &tokenizer, hidden_size, std, config.seed)?;
    set_embeddings(&mut gemma, &values);
    induction_heads(&mut gemma, &model_config, config.seed, device);
    gemma.unfreeze_weights();
    let encoder = LanguageEncoder {
        words: WordTokens::new(&tokenizer),
        tokenizer,
        is_disturbed: false,
    };
    let measure = |rng: &mut ChaCha8Rng| encoder.encode(&held_out.example(rng), rng);
    let measured = generate(config.seed, HELD_OUT_STREAM, HELD_OUT, &measure)?;
    let valid = EpochLoader::new(
        measured,
        MEASURED_AT_ONCE,
        LanguageExample::len,
        LanguageExample::collate,
    );
    let encoder = LanguageEncoder {
        is_disturbed: true,
        ..encoder
    };
    let train = loader(
        config.seed,
        config.language_examples.min(EPOCH),
        BATCH_SIZE,
        move |rng: &mut ChaCha8Rng| encoder.encode(&learnt.example(rng), rng),
        LanguageExample::len,
        LanguageExample::collate,
    );
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
    save_gemma(&mut trained.gemma, &model_config, folder)
}

/// Draws all matrices anew; they depend on the seed alone, whatever else draws random numbers.
fn draw_weights(gemma: &mut Gemma, std: f64, seed: u64) {
    let mut number = 0;
    gemma.weights("", &mut |_, weight| {
        if let WeightMut::Matrix(weight) = weight {
            number += 1;
            let (device, shape) = (weight.val().device(), weight.val().dims());
            let values = fresh(&shape, std, seed, number);
            WeightMut::Matrix(weight).set_frozen(values, DType::F32, &device.inner());
        }
    });
}

/// Returns the talk to learn from and the talk to measure on, with statements as the relevance judge ranks them.
fn ranked(
    seed: u64,
    corpus: &Corpus,
    from: &GemmaSources<'_>,
    rare: &RareWords,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<[Talk; 2]> {
    let source = Checkpoint::folder(&from.relevance).into();
    let judge = Judge::load(&source, JudgeTask::Relevance, &device.clone().into(), job)?;
    let talk = |personas: &[corpus::Persona], name: &str| -> Result<Talk> {
        let kept = work.join(name);
        let speakers = speakers(personas, seed, &judge, &kept, job)?;
        Ok(Talk::new(speakers, rare.clone()))
    };
    Ok([
        talk(corpus.learnt(), "ranked.json")?,
        talk(corpus.held_out(), "ranked-held-out.json")?,
    ])
}

/// Returns the texts that the vocabulary is learnt from: those of the corpus as they stand in prompts and replies, the embedded pages,
/// and the words of the BERT, each once.
fn vocabulary_texts(corpus: &Corpus, base: &Path) -> Result<Vec<String>> {
    let mut texts: Vec<String> = corpus.texts().map(str::to_string).collect();
    for persona in corpus.learnt() {
        let said = persona.statements().into_iter();
        texts.extend(said.map(|statement| english::first_person(persona.name(), statement)));
        texts.push(paper_prompt(persona.name(), &[], ""));
        // As kept pieces of pages begin.
        texts.push(format!("{} – ", persona.name()));
    }
    let pages = pages::characters().filter_map(pages::page);
    texts.extend(pages.flat_map(str::lines).map(str::to_string));
    // With a space before them, as most words in a text have.
    let words = words_at_large(base)?.into_iter();
    texts.extend(words.map(|word| format!(" {word}")));
    Ok(texts)
}

/// Returns the words of a BERT, which are the common ones of English at large.
fn words_at_large(base: &Path) -> Result<Vec<String>> {
    let pieces = WordPieces::load(&base.join("tokenizer.json"))?;
    Ok(pieces.words().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::super::base::tests::small_bert;
    use super::super::corpus::tests::small_corpus;
    use super::*;

    #[test]
    fn a_gemma_comes_out_of_a_corpus_and_a_judge_the_same_again() {
        let (bert, corpus) = (small_bert(), small_corpus(6));
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
        let config = Pretrain::new().with_language_examples(16);
        let from = |relevance: PathBuf| GemmaSources {
            corpus: corpus.path(),
            base: bert.path(),
            relevance,
        };
        let (device, job) = (Device::flex(), Job::default());
        let made = || {
            let folder = tempfile::tempdir().unwrap();
            let (to, work) = (folder.path().join("gemma"), folder.path().join("work"));
            pretrain_gemma(&config, &from(tiny.clone()), &to, &work, &device, &job).unwrap();
            std::fs::read(to.join("model.safetensors")).unwrap()
        };
        assert!(made() == made());

        let folder = tempfile::tempdir().unwrap();
        let missing = from(folder.path().join("relevance"));
        let to = folder.path().join("gemma");
        let error = pretrain_gemma(&config, &missing, &to, folder.path(), &device, &job);
        let told = error.unwrap_err().to_string();
        assert!(told.contains("make the judges first"), "{told}");
    }
}
