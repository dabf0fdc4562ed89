//! Judges of a character's own, fine-tuned on what the teacher wrote.

use std::path::{Path, PathBuf};

use burn::optim::AdamWConfig;
use burn::optim::lr_scheduler::constant::ConstantLr;
use burn::tensor::{DType, Device};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::stage::seed_for;
use crate::nn::Weights;
use crate::persona::{JudgeTemplate, NliExample, Query, RelevanceExample};
use crate::progress::Job;
use crate::teacher::{Teacher, some_others};
use crate::text::Tokenizer;
use crate::train::{ClassifierExample, ClassifierModel, EpochLoader, Fit, fit};
use crate::{Result, files, hf};

/// The two judges' folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discriminators {
    /// Whether a statement matters to a query.
    pub relevance: PathBuf,
    /// Whether a reply follows from a statement.
    pub nli: PathBuf,
}

/// Relevance data: for each statement its own queries, and five of other statements.
pub(super) fn relevance_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
) -> Result<Vec<RelevanceExample>> {
    let mut examples = Vec::new();
    for (statement_idx, statement) in statements.iter().enumerate() {
        let own = queries.iter().filter(|query| query.statement == *statement);
        let other: Vec<&Query> = queries
            .iter()
            .filter(|query| query.statement != *statement)
            .collect();
        let other = some_others(
            &other,
            usize::MAX,
            5,
            seed_for(seed, &[1, statement_idx as u64]),
        );
        for query in own.chain(other) {
            let label = teacher.relevance(character, statement, &query.query)?;
            examples.push(RelevanceExample {
                statement: statement.clone(),
                query: query.query.clone(),
                label,
            });
        }
    }
    Ok(examples)
}

/// NLI data: for each query a reply of each kind, under its own statement and under another.
pub(super) fn nli_data(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    queries: &[Query],
    seed: u64,
) -> Result<Vec<NliExample>> {
    let mut examples = Vec::new();
    for (query_idx, query) in queries.iter().enumerate() {
        let own = statements
            .iter()
            .position(|statement| *statement == query.statement)
            .unwrap_or(usize::MAX);
        let seed = seed_for(seed, &[2, query_idx as u64]);
        let others = some_others(statements, own, 4, seed);
        let replies = teacher.replies(character, query, &others, seed)?;
        for reply in &replies {
            for statement in others.iter().take(1) {
                let label = teacher.nli(character, statement, &query.query, &reply.response)?;
                examples.push(NliExample {
                    statement: statement.clone(),
                    label,
                    ..reply.clone()
                });
            }
        }
        examples.extend(replies);
    }
    Ok(examples)
}

/// One judge's fine-tuning.
pub(super) struct FineTune<'a> {
    pub(super) label: &'a str,
    /// The judge to begin with.
    pub(super) base: &'a Path,
    pub(super) output: &'a Path,
    pub(super) work: &'a Path,
    pub(super) epochs: usize,
    pub(super) seed: u64,
}

impl FineTune<'_> {
    /// Trains on four fifths of the texts and tells the accuracy on the rest after each epoch.
    pub(super) fn run(&self, texts: &[(String, usize)], device: &Device, job: &Job) -> Result<()> {
        let (mut model, config) = hf::load_classifier(self.base, DType::F32, device)?;
        model.unfreeze_weights();
        let tokenizer = Tokenizer::load(self.base)?;
        let mut examples = texts
            .iter()
            .map(|(text, label)| {
                Ok(ClassifierExample {
                    ids: tokenizer.encode(text)?,
                    label: *label,
                    tokens: Vec::new(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        examples.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let held_out = examples.split_off(examples.len() * 4 / 5);
        let train = EpochLoader::new(
            examples,
            8,
            ClassifierExample::len,
            ClassifierExample::collate,
        )
        .shuffled(self.seed);
        let valid = EpochLoader::new(
            held_out,
            32,
            ClassifierExample::len,
            ClassifierExample::collate,
        );
        let model = ClassifierModel::new(model, None, config.pad_token_id);
        let optimizer = AdamWConfig::new()
            .with_epsilon(1e-6)
            .with_weight_decay(0.01)
            .init();
        let run = Fit {
            label: self.label,
            folder: self.work,
            epochs: self.epochs,
            accumulate: 1,
            metrics: &[("loss", false), ("accuracy", true)],
        };
        let mut trained = fit(
            model,
            optimizer,
            ConstantLr::new(1e-5).into(),
            &train,
            &valid,
            &run,
            job,
        )?;
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            files::write(
                &self.output.join(name),
                files::read_text(&self.base.join(name))?.as_bytes(),
            )?;
        }
        JudgeTemplate::load(self.base)?.save(self.output)?;
        hf::save_weights(&mut trained.deberta, self.output)?;
        hf::write_classifier_config(self.output, &config)
    }
}
