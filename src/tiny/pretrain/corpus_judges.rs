//! Judges from a part of a pretrained BERT, which learn from a corpus of everyday talk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::base::{draw_head, make_base};
use super::corpus::{Corpus, Persona};
use super::examples::example_rng;
use super::judges::{NLI_SHARES_IN_SCORING, is_there, save_judge};
use super::pairs::{Pair, Pass, nli_pass, relevance_pass, shares, shuffled};
use super::prior::move_prior;
use super::recipe::{EPOCH, HELD_OUT_STREAM, gentle_schedule};
use crate::files::{self, Checkpoint, ClassifierConfig, Precision};
use crate::nn::{SequenceClassifier, Weights};
use crate::persona::{JudgeInput, JudgeReader, JudgeTemplate, Nli, Relevance};
use crate::progress::Job;
use crate::text::{Classifier, Tokenizer};
use crate::tiny::pages;
use crate::train::{
    AdamW, ClassifierBatch, ClassifierExample, ClassifierModel, EpochLoader, Fit, StepDropout,
    epochs_done, fit,
};
use crate::{Error, Result};

/// In scoring, one statement in twenty matters to a question.
const RELEVANCE_SHARES_IN_SCORING: [f64; 2] = [0.95, 0.05];
const BATCH_SIZE: usize = 32;
/// Held-out examples between two checkpoints, at most.
const WATCHED: usize = 600;

/// What judges are made from.
#[derive(Clone, Debug)]
pub struct CorpusJudges {
    /// A folder with a BERT as Hugging Face has it, such as all-MiniLM-L6-v2.
    pub base: PathBuf,
    /// A folder with personas, in the form of `models/corpus`.
    pub corpus: PathBuf,
    /// Number of token ids that are kept.
    pub vocab_size: usize,
}

impl CorpusJudges {
    /// Number of token ids that are kept if nothing else is said.
    pub const VOCAB_SIZE: usize = 8192;

    /// What identifies the encoder and the corpus, for a record of what was made from them.
    pub fn identity(&self) -> Result<Value> {
        Ok(json!({
            "base": Checkpoint::folder(&self.base).hash()?,
            "corpus": corpus_identity(&self.corpus)?,
            "judge_vocab_size": self.vocab_size,
        }))
    }
}

/// What identifies a corpus, for a record of what was made from it.
pub fn corpus_identity(folder: &Path) -> Result<String> {
    let corpus = Corpus::load(folder)?;
    let texts: Vec<&str> = corpus.texts().collect();
    Ok(files::checksum_of(texts.join("\n")))
}

/// The NLI judge and the relevance judge, each from the pretrained encoder.
///
/// - left_out: which of five personas in a row is left out
pub(super) fn pretrain_corpus_judges(
    from: &CorpusJudges,
    left_out: usize,
    seed: u64,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    let corpus = Corpus::load(&from.corpus)?;
    let base = work.join("base");
    if !base.join("config.json").is_file() {
        let pages = pages::characters().filter_map(pages::page);
        let texts = corpus
            .texts()
            .chain(pages.flat_map(|page: &str| page.lines()));
        make_base(&from.base, texts, from.vocab_size, seed, &base, device)?;
    }
    let judges = [CorpusJudge::NLI, CorpusJudge::RELEVANCE];
    for (judge, seed) in judges.into_iter().zip(seed..) {
        let run = CorpusRun {
            judge,
            base: &base,
            learnt: corpus.share(left_out),
            held_out: corpus.held_out(),
            folder: folder.join(judge.name),
            work: work.join(judge.name),
            seed,
        };
        run.run(device, job)?;
    }
    Ok(())
}

/// How a judge is asked and taught.
#[derive(Clone, Copy)]
struct CorpusJudge {
    name: &'static str,
    labels: &'static [&'static str],
    /// The premise and the hypothesis of a pair.
    template: [&'static str; 2],
    pass: Pass,
    n_passes: usize,
    learning_rate: f64,
    /// The shares of the classes in scoring.
    shares: &'static [f64],
}

impl CorpusJudge {
    const NLI: Self = Self {
        name: "nli",
        labels: &Nli::NAMES,
        template: ["{statement}", "{query} {response}"],
        pass: nli_pass,
        n_passes: 3,
        learning_rate: 2e-4,
        shares: &NLI_SHARES_IN_SCORING,
    };
    const RELEVANCE: Self = Self {
        name: "relevance",
        labels: &Relevance::NAMES,
        template: ["{query}", "{statement}"],
        pass: relevance_pass,
        n_passes: 2,
        learning_rate: 1e-4,
        shares: &RELEVANCE_SHARES_IN_SCORING,
    };

    fn template(&self) -> JudgeTemplate {
        JudgeTemplate::Pair(self.template.map(String::from))
    }
}

struct CorpusRun<'a> {
    judge: CorpusJudge,
    base: &'a Path,
    learnt: Vec<Persona>,
    held_out: &'a [Persona],
    folder: PathBuf,
    work: PathBuf,
    seed: u64,
}

impl CorpusRun<'_> {
    fn run(self, device: &Device, job: &Job) -> Result<()> {
        if is_there(&self.folder, job) {
            return Ok(());
        }
        let (judge, seed) = (self.judge, self.seed);
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let text = files::read_text(&self.base.join(name))?;
            files::write(&self.folder.join(name), text.as_bytes())?;
        }
        let base = Checkpoint::folder(self.base);
        let n_labels = judge.labels.len();
        let (mut classifier, mut config) = files::load_classifier_body(&base, n_labels, device)?;
        draw_head(&mut classifier, seed, device);
        classifier.unfreeze_weights();
        config.labels = judge.labels.iter().map(ToString::to_string).collect();

        let pairs = shuffled(judge.pass, &self.learnt, &mut example_rng(seed, 0));
        let in_training = shares(&pairs, n_labels);
        let parts = Parts::of(pairs.len());
        drop(pairs);
        let mut trained = self.train(classifier, &config, parts, job)?;
        move_prior(&mut trained, &in_training, judge.shares);
        save_judge(&mut trained, &config, &judge.template(), &self.folder)
    }

    fn train(
        &self,
        classifier: SequenceClassifier,
        config: &ClassifierConfig,
        parts: Parts,
        job: &Job,
    ) -> Result<SequenceClassifier> {
        let (judge, seed) = (self.judge, self.seed);
        let tokenizer = Tokenizer::load(&Checkpoint::folder(self.base))?
            .for_table(config.model.vocab_size())?;
        let reader = JudgeReader::new(&tokenizer, &judge.template(), config.max_tokens())?;
        let valid = EpochLoader::new(
            self.watched(&reader)?,
            2 * BATCH_SIZE,
            ClassifierExample::len,
            ClassifierExample::collate,
        );
        let train = self.loader(reader, parts);
        let epochs = judge.n_passes * parts.count;
        let steps = train.steps_per_epoch(1);
        let steps_done = epochs_done(&self.work, epochs)? * steps;
        let dropout = Some(Arc::new(StepDropout::new(seed, steps_done)));
        let model = ClassifierModel::new(classifier, None, config.pad_token_id)
            .with_max_grad_norm(1.0)
            .with_dropout(dropout);
        let schedule = gentle_schedule(judge.learning_rate, epochs * steps)?;
        let run = Fit {
            label: judge.name,
            folder: &self.work,
            epochs,
            accumulate: 1,
            metrics: &[("loss", false), ("accuracy", true)],
        };
        let optimizer = AdamW::new().into();
        let trained = fit(model, optimizer, schedule, &train, &valid, &run, job)?;
        let rate = train.rate();
        if rate > 0.0 {
            job.progress
                .note(&format!("{}: {rate:.0} examples per second", judge.name));
        }
        Ok(trained.classifier)
    }

    /// Some examples of held-out personas, which tell how training goes.
    fn watched(&self, reader: &JudgeReader) -> Result<Vec<ClassifierExample>> {
        let mut rng = example_rng(self.seed, HELD_OUT_STREAM);
        let mut pairs = shuffled(self.judge.pass, self.held_out, &mut rng);
        pairs.truncate(WATCHED);
        let mut watched = encode(reader, &pairs)?;
        watched.sort_by_key(ClassifierExample::len);
        Ok(watched)
    }

    /// Gives the parts of one pass after the other, between which there are checkpoints.
    fn loader(
        &self,
        reader: JudgeReader,
        parts: Parts,
    ) -> EpochLoader<ClassifierExample, ClassifierBatch> {
        let (pass, seed, learnt) = (self.judge.pass, self.seed, self.learnt.clone());
        let source = move |epoch: usize| {
            let (number, part) = ((epoch - 1) / parts.count, (epoch - 1) % parts.count);
            let pairs = shuffled(pass, &learnt, &mut example_rng(seed, number as u64));
            let examples = encode(&reader, &pairs[part * parts.size..][..parts.size]);
            Arc::new(examples.expect("a vocabulary with an unknown token encodes every text"))
        };
        EpochLoader::generated(
            Arc::new(source),
            parts.size,
            BATCH_SIZE,
            ClassifierExample::len,
            ClassifierExample::collate,
        )
        .shuffled(seed)
    }
}

/// The even parts of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    count: usize,
    size: usize,
}

impl Parts {
    /// Of so many examples; the few that are left over come in another pass.
    fn of(n_examples: usize) -> Self {
        let count = n_examples.div_ceil(EPOCH).max(1);
        Self {
            count,
            size: n_examples / count,
        }
    }
}

fn encode(reader: &JudgeReader, pairs: &[Pair<'_>]) -> Result<Vec<ClassifierExample>> {
    let inputs: Vec<JudgeInput<'_>> = pairs.iter().map(Pair::input).collect();
    let (texts, _) = reader.encode(&inputs)?;
    let examples = texts.into_iter().zip(pairs);
    let example = |(text, pair): (_, &Pair<'_>)| ClassifierExample {
        text,
        label: pair.label,
        tokens: Vec::new(),
    };
    Ok(examples.map(example).collect())
}

/// The share of examples of held-out personas on which the relevance and the NLI judge in `folder` are right.
pub fn evaluate_corpus_judges(
    from: &CorpusJudges,
    folder: &Path,
    seed: u64,
    device: &Device,
    job: &Job,
) -> Result<[f64; 2]> {
    let corpus = Corpus::load(&from.corpus)?;
    let accuracy = |judge: CorpusJudge| -> Result<f64> {
        let checkpoint = Checkpoint::from(folder.join(judge.name));
        let devices = device.clone().into();
        let classifier = Classifier::load(&checkpoint, Precision::default(), &devices)?;
        let reader = JudgeReader::new(
            classifier.tokenizer(),
            &judge.template(),
            classifier.max_tokens(),
        )?;
        let pairs = shuffled(judge.pass, corpus.held_out(), &mut example_rng(seed, 0));
        if pairs.is_empty() {
            return Err(Error::invalid(&from.corpus, "has nothing to be held out"));
        }
        let inputs: Vec<JudgeInput<'_>> = pairs.iter().map(Pair::input).collect();
        let (texts, _) = reader.encode(&inputs)?;
        let tokens = classifier.batch_tokens();
        let rows = classifier.probabilities(&texts, tokens, judge.name, job)?;
        let likeliest = |row: &Vec<f32>| {
            let classes = row.iter().enumerate();
            classes
                .max_by(|a, b| a.1.total_cmp(b.1))
                .map(|(label, _)| label)
        };
        let right = rows
            .iter()
            .zip(&pairs)
            .filter(|(row, pair)| likeliest(row) == Some(pair.label));
        Ok(right.count() as f64 / pairs.len() as f64)
    };
    Ok([
        accuracy(CorpusJudge::RELEVANCE)?,
        accuracy(CorpusJudge::NLI)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::base::tests::small_bert;
    use super::super::corpus::tests::small_corpus;
    use super::*;
    use crate::persona::{JudgeTask, LocalJudge};

    #[test]
    fn parts_are_even_and_no_longer_than_what_lies_between_checkpoints() {
        for (n, count, size) in [(10, 1, 10), (EPOCH, 1, EPOCH), (2 * EPOCH + 5, 3, 2668)] {
            assert_eq!(Parts::of(n), Parts { count, size });
        }
    }

    #[test]
    fn judges_come_out_of_an_encoder_and_a_corpus_the_same_again() {
        let (bert, corpus) = (small_bert(), small_corpus(6));
        let from = CorpusJudges {
            base: bert.path().to_path_buf(),
            corpus: corpus.path().to_path_buf(),
            vocab_size: 20,
        };
        let (device, job) = (Device::flex(), Job::default());
        let made = || {
            let folder = tempfile::tempdir().unwrap();
            let (judges, work) = (folder.path().join("judges"), folder.path().join("work"));
            pretrain_corpus_judges(&from, 0, 3, &judges, &work, &device, &job).unwrap();
            folder
        };
        let [first, again] = [made(), made()];
        for (name, task) in [("nli", JudgeTask::Nli), ("relevance", JudgeTask::Relevance)] {
            let folder = |made: &tempfile::TempDir| made.path().join("judges").join(name);
            let weights = |made| std::fs::read(folder(made).join("model.safetensors")).unwrap();
            assert!(weights(&first) == weights(&again), "{name}");
            let source = Checkpoint::from(folder(&first)).into();
            let judge = LocalJudge::load(&source, task, &device.clone().into()).unwrap();
            assert!(judge.remarks().is_empty(), "{:?}", judge.remarks());
        }
        let judges = first.path().join("judges");
        let right = evaluate_corpus_judges(&from, &judges, 5, &device, &job).unwrap();
        assert!(
            right.iter().all(|right| (0.0..=1.0).contains(right)),
            "{right:?}"
        );
        assert_ne!(from.identity().unwrap()["corpus"], serde_json::Value::Null);
    }
}
