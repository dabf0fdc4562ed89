//! Judges from a part of a pretrained BERT, which learn from a corpus of everyday talk.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::base::make_base;
use super::corpus::{Corpus, Persona};
use super::neighbours::Neighbours;
use super::store::share;
use super::{corpus_nli, corpus_relevance};
use crate::Result;
use crate::files::{self, Checkpoint};
use crate::progress::Job;

/// What judges are made from.
#[derive(Clone, Debug)]
pub struct PretrainSources {
    /// A folder with a BERT as Hugging Face has it, such as all-MiniLM-L6-v2.
    pub base: PathBuf,
    /// A folder with personas, in the form of `models/corpus`.
    pub corpus: PathBuf,
}

impl PretrainSources {
    /// What identifies the encoder and the corpus, for a record of what was made from them.
    pub fn identity(&self) -> Result<Value> {
        Ok(json!({
            "base": Checkpoint::folder(&self.base).hash()?,
            "corpus": Corpus::load(&self.corpus)?.checksum(),
        }))
    }
}

/// How one judge is made.
pub(super) struct CorpusRun<'a> {
    /// The part of the encoder that it begins with.
    pub(super) base: &'a Path,
    pub(super) learnt: Vec<Persona>,
    /// Personas that the pair does not learn from.
    pub(super) left_out: Vec<Persona>,
    /// Personas that no judge learns from.
    pub(super) held_out: &'a [Persona],
    pub(super) neighbours: &'a Neighbours,
    /// What all judges share.
    pub(super) words: &'a Path,
    pub(super) folder: PathBuf,
    pub(super) work: PathBuf,
    pub(super) seed: u64,
}

/// A pair of judges.
#[derive(Clone, Copy, Debug)]
pub(super) struct CorpusPair {
    /// Which of ten personas in a row it does not learn from.
    left_out: usize,
    /// Of so many layers of the encoder in a row it has the first.
    layers_of: usize,
    /// The learning rate of its NLI judge at its highest: less for more layers.
    nli_learning_rate: f64,
}

impl CorpusPair {
    /// The pair that rewards.
    pub(super) const REWARDING: Self = Self {
        left_out: 0,
        layers_of: 1,
        nli_learning_rate: 1e-4,
    };
    /// The pair that grades: half of the layers, and without another tenth of the personas.
    pub(super) const GRADING: Self = Self {
        left_out: 1,
        layers_of: 2,
        nli_learning_rate: 2e-4,
    };
}

/// Where a pair of judges is made.
pub(super) struct PairFolders {
    /// For what all judges share.
    pub(super) words: PathBuf,
    /// For a folder a judge.
    pub(super) judges: PathBuf,
    /// For checkpoints.
    pub(super) work: PathBuf,
}

/// The relevance judge and the NLI judge, each from the pretrained encoder.
pub(super) fn pretrain_corpus_judges(
    from: &PretrainSources,
    pair: CorpusPair,
    seed: u64,
    folders: &PairFolders,
    device: &Device,
    job: &Job,
) -> Result<()> {
    let corpus = Corpus::load(&from.corpus)?;
    let base = folders.work.join("base");
    if !base.join("config.json").is_file() {
        make_base(&from.base, pair.layers_of, seed, &base, device)?;
    }
    let neighbours = Neighbours::of(&from.base, &corpus)?;
    for (name, seed) in [("relevance", seed + 1), ("nli", seed)] {
        let run = CorpusRun {
            base: &base,
            learnt: corpus.share(pair.left_out),
            left_out: corpus.left_out(pair.left_out),
            held_out: corpus.held_out(),
            neighbours: &neighbours,
            words: &folders.words,
            folder: folders.judges.join(name),
            work: folders.work.join(name),
            seed,
        };
        match name {
            "nli" => corpus_nli::pretrain_nli(&run, pair.nli_learning_rate, device, job)?,
            _ => corpus_relevance::pretrain_relevance(&run, device, job)?,
        }
    }
    Ok(())
}

impl CorpusRun<'_> {
    /// Writes what reads the judge's texts, once for all judges.
    pub(super) fn share_tokenizer(&self) -> Result<()> {
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let text = files::read_text(&self.base.join(name))?;
            files::write(&self.words.join(name), text.as_bytes())?;
            share(self.words, name, &self.folder)?;
        }
        Ok(())
    }
}

/// On held-out personas, the share of questions whose statement the relevance judge in `folder` puts first, and the share of
/// pairs of which the NLI judge is right.
pub fn evaluate_corpus_judges(
    from: &PretrainSources,
    folder: &Path,
    seed: u64,
    device: &Device,
    job: &Job,
) -> Result<[f64; 2]> {
    let corpus = Corpus::load(&from.corpus)?;
    let (relevance, nli) = (folder.join("relevance"), folder.join("nli"));
    let neighbours = Neighbours::of(&from.base, &corpus)?;
    Ok([
        corpus_relevance::evaluate(&relevance, corpus.held_out(), device, job)?,
        corpus_nli::evaluate(&nli, corpus.held_out(), &neighbours, seed, device, job)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::base::tests::small_bert;
    use super::super::corpus::tests::small_corpus;
    use super::*;
    use crate::persona::{JudgeTask, LocalJudge};

    #[test]
    fn judges_come_out_of_an_encoder_and_a_corpus_the_same_again() {
        let (bert, corpus) = (small_bert(), small_corpus(6));
        let from = PretrainSources {
            base: bert.path().to_path_buf(),
            corpus: corpus.path().to_path_buf(),
        };
        let (device, job) = (Device::flex(), Job::default());
        let made = || {
            let folder = tempfile::tempdir().unwrap();
            let folders = PairFolders {
                words: folder.path().join("words"),
                judges: folder.path().join("judges"),
                work: folder.path().join("work"),
            };
            pretrain_corpus_judges(&from, CorpusPair::GRADING, 3, &folders, &device, &job).unwrap();
            folder
        };
        let [first, again] = [made(), made()];
        let mut tables = Vec::new();
        for (name, task) in [("nli", JudgeTask::Nli), ("relevance", JudgeTask::Relevance)] {
            let folder = |made: &tempfile::TempDir| made.path().join("judges").join(name);
            let weights = |made| std::fs::read(folder(made).join("layers.safetensors")).unwrap();
            assert!(weights(&first) == weights(&again), "{name}");
            let table = |folder: PathBuf| {
                let mut tensors = files::read_floats(&folder.into()).unwrap();
                tensors
                    .remove("bert.embeddings.word_embeddings.weight")
                    .unwrap()
            };
            tables.push(table(folder(&first)));
            let source = Checkpoint::from(folder(&first)).into();
            let judge = LocalJudge::load(&source, task, &device.clone().into()).unwrap();
            assert!(judge.remarks().is_empty(), "{:?}", judge.remarks());
        }
        assert_eq!(tables[0], tables[1], "all judges have the same words");
        let judges = first.path().join("judges");
        let right = evaluate_corpus_judges(&from, &judges, 5, &device, &job).unwrap();
        assert!(
            right.iter().all(|right| (0.0..=1.0).contains(right)),
            "{right:?}"
        );
        let other = PretrainSources {
            corpus: small_corpus(7).path().to_path_buf(),
            ..from.clone()
        };
        assert!(other.identity().is_err(), "its folder is gone");
        let seven = small_corpus(7);
        let other = PretrainSources {
            corpus: seven.path().to_path_buf(),
            ..from.clone()
        };
        assert_ne!(from.identity().unwrap(), other.identity().unwrap());
    }
}
